"""For programs that talk to an application behind Frontdesk: `httpx.Client(auth=FrontdeskAuth(...))`.

Signs in, adds the access token, refreshes it and repeats what was refused for its age: once for everybody, whichever of
many tasks, threads and processes comes first. Needs `frontdesk[http]`.
"""

from frontdesk.client.auth import FrontdeskAuth
from frontdesk.client.credentials import Credentials
from frontdesk.client.errors import SignedOutError, SignInError, StorageError, UnavailableError
from frontdesk.client.file_storage import FileStorage, LockFile
from frontdesk.client.storage import MemoryStorage, Storage

__all__ = [
    "Credentials",
    "FileStorage",
    "FrontdeskAuth",
    "LockFile",
    "MemoryStorage",
    "SignInError",
    "SignedOutError",
    "Storage",
    "StorageError",
    "UnavailableError",
]
