"""Accounts: register and sign in with e-mail address and password.

Sign-in tells nobody whether an address exists: every path counts the attempt, then performs exactly one password
verification, then answers `invalid_credentials` in the same words (ASVS 6.3.8).
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from frontdesk.clock import Clock
from frontdesk.core.accounts import Account
from frontdesk.core.addresses import canonical_email, throttle_network
from frontdesk.core.credentials import ID_BYTES, encode_id
from frontdesk.core.events import AccountRemoved, Registered, SignInRefused
from frontdesk.core.passwords import PasswordContext, check
from frontdesk.core.sessions import Epochs
from frontdesk.core.throttle import AttemptKeys, Exhausted, account_key, admit, attempt_keys, expiry, is_locked
from frontdesk.errors import Refusal
from frontdesk.service.audit import Audit
from frontdesk.service.common_passwords import common_passwords
from frontdesk.service.fitting import LONGEST_COOKIE_NAME
from frontdesk.service.hashing import Owner, PasswordHasher
from frontdesk.service.keys import TokenBytes
from frontdesk.service.knowledge import Knowledge
from frontdesk.service.settings import DeskSettings
from frontdesk.service.sign_in import Grant, Origin, Signed, SignIn, SignInOptions
from frontdesk.service.tracing import traced
from frontdesk.stores.protocol import Store


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What is left to try. `refusal`: why a password would not be looked at. `failures`: how many failed in a row.
    `is_locked`: only `unlock` lifts the stop."""

    refusal: Refusal | None
    failures: int
    is_locked: bool


class Accounts:
    """Register, sign in with a password, list, unlock, remove."""

    def __init__(
        self,
        store: Store,
        sign_in: SignIn,
        *,
        settings: DeskSettings,
        throttle_key: bytes,
        hasher: PasswordHasher,
        clock: Clock,
        audit: Audit,
        token_bytes: TokenBytes,
        knowledge: Knowledge,
    ) -> None:
        self._store = store
        self._sign_in = sign_in
        self._settings = settings
        self._throttle_key = throttle_key
        self._hasher = hasher
        self._clock = clock
        self._audit = audit
        self._token_bytes = token_bytes
        self._knowledge = knowledge

    async def register(
        self, email: str, password: str, *, roles: tuple[str, ...] = (), origin: Origin | None = None
    ) -> Account | Refusal:
        """Create an account; signs nobody in.

        Refused: `email_invalid`, `password_…`, `email_taken`. OverloadedError when too many hashes are waiting.
        """
        address = self.acceptable(email, password)
        if isinstance(address, Refusal):
            return address
        account_id = encode_id(self._token_bytes(ID_BYTES))
        account = Account(
            id=account_id,
            realm=self._settings.realm,
            email=address,
            password=await self._hasher.hash(password, Owner(self._settings.realm, account_id)),
            created_at=self._clock.now(),
            roles=roles,
        )
        if not await self._store.create_account(account):
            return Refusal("email_taken")
        self._audit(
            Registered(
                at=account.created_at,
                realm=account.realm,
                address=origin.address if origin else "",
                subject=account.id,
            )
        )
        return account

    def acceptable(self, email: str, password: str) -> str | Refusal:
        """The address under which an account would be registered; or `email_invalid`, `password_…`."""
        address = canonical_email(email)
        if isinstance(address, Refusal):
            return address
        refusal = check(password, self._settings.passwords, PasswordContext(address=address), common=common_passwords())
        return address if refusal is None else refusal

    def refuse_when_busy(self) -> None:
        """OverloadedError when a password would not be taken now, since too many wait to be looked at."""
        with self._hasher.place():
            pass

    async def budget(self, email: str, *, origin: Origin) -> Budget:
        """Whether a sign-in with this address would be looked at now. Counts nothing; for who may see that.

        An address that no account has, or that is none, has a budget like any other.
        """
        address = canonical_email(email)
        keys = self._keys(email if isinstance(address, Refusal) else address, origin.address)
        tallies = await self._store.read_attempts(self._settings.realm, keys)
        now = self._clock.now()
        outcome = admit(tallies, now, self._settings.throttle)
        account = tallies.account if tallies.account and expiry(tallies.account) > now else None
        return Budget(
            refusal=outcome.refusal() if isinstance(outcome, Exhausted) else None,
            failures=account.failures if account else 0,
            is_locked=is_locked(account, self._settings.throttle),
        )

    async def foresee(
        self, account: Account, options: SignInOptions, *, name_bytes: int = LONGEST_COOKIE_NAME
    ) -> SignInOptions | Refusal:
        """How a sign-in of this account would be carried; `credential_not_allowed` or `claims_too_large`."""
        grant = Grant(subject=account.id, roles=account.roles, amr=("pwd",))
        return await self._sign_in.foresee(grant, options, now=self._clock.now(), name_bytes=name_bytes)

    @traced("frontdesk.sign_in")
    async def sign_in(
        self,
        email: str,
        password: str,
        *,
        options: SignInOptions | None = None,
        origin: Origin | None = None,
        replaces: Collection[str] = (),
        name_bytes: int = LONGEST_COOKIE_NAME,
    ) -> Signed | Refusal:
        """Sign in with a password.

        Refused: `invalid_credentials`, in the same words and after the same work whatever was wrong;
        `too_many_attempts` with `retry_after`, without a look at the password.
        """
        origin = origin or Origin()
        address = canonical_email(email)
        # What is no address belongs to no account; it is counted and verified like any unknown address.
        known = None if isinstance(address, Refusal) else address
        keys = self._keys(known or email, origin.address)
        # A turn first: a desk too busy to look at the password must not count it as wrong.
        with self._hasher.place() as place:
            await place.turn()
            now = self._clock.now()
            refusal = await self._store.admit_attempt(self._settings.realm, keys, now, self._settings.throttle)
            if refusal is not None:
                self._refused(refusal, "", origin)
                return refusal
            account, epochs = await self._account_and_epochs(known)
            owner = Owner(account.realm, account.id) if account else None
            verified = await place.verify(account.password if account else None, password, owner)
        if account is None or not verified.ok:
            refusal = Refusal("invalid_credentials")
            self._refused(refusal, account.id if account else "", origin)
            return refusal
        await self._store.attempt_succeeded(self._settings.realm, keys, now)
        if verified.replacement is not None:
            await self._store.replace_password(
                account.realm, account.id, old=account.password, new=verified.replacement
            )
        return await self._sign_in.sign_in(
            Grant(subject=account.id, roles=account.roles, amr=("pwd",)),
            now=self._clock.now(),
            epochs=epochs,
            options=options or SignInOptions(),
            origin=origin,
            replaces=replaces,
            name_bytes=name_bytes,
            account_roles=True,
        )

    async def list(self, *, after: str = "", limit: int = 100) -> tuple[Account, ...]:
        """Accounts by address."""
        return await self._store.list_accounts(self._settings.realm, after=after, limit=limit)

    async def by_id(self, subject: str) -> Account | None:
        """The account of a subject; None for subjects that the application owns."""
        return await self._store.account_by_id(self._settings.realm, subject)

    async def by_email(self, email: str) -> Account | None:
        """The account with this address, which is canonicalised first."""
        address = canonical_email(email)
        if isinstance(address, Refusal):
            return None
        return await self._store.account_by_email(self._settings.realm, address)

    @traced("frontdesk.revoke", kind="subject")
    async def remove(self, who: str, *, origin: Origin | None = None) -> Account | None:
        """Delete the account with this address or id and end all its sessions, at once and for good (ASVS 7.4.2).

        A sign-in in flight is refused. Returns the account as it was; None: there is none. The address may register
        anew, and is another subject then. What the application keeps about the subject is the application's to remove.
        """
        account = await (self.by_email(who) if "@" in who else self.by_id(who))
        now = self._clock.now()
        if account is None or not await self._store.remove_account(account.realm, account.id, now=now):
            return None
        address = origin.address if origin else ""
        self._audit(AccountRemoved(at=now, realm=account.realm, address=address, subject=account.id))
        await self._knowledge.hear()
        return account

    async def unlock(self, email: str) -> bool:
        """Forget the failed attempts of an address: lifts the hard stop. False: there were none."""
        address = canonical_email(email)
        if isinstance(address, Refusal):
            return False
        key = account_key(self._throttle_key, realm=self._settings.realm, address=address)
        return await self._store.clear_attempts(self._settings.realm, key)

    async def _account_and_epochs(self, address: str | None) -> tuple[Account | None, Epochs]:
        """The account as it stands after its epochs were read: a revocation from here on refuses the sign-in.

        Whoever changes a password revokes the subject afterwards. Were the password read first, the old one could
        still be verified under the new epochs. An unknown address takes the same steps.
        """
        named = await self._store.account_by_email(self._settings.realm, address or "")
        account_id = named.id if named is not None else ""
        epochs = await self._sign_in.epochs(account_id)
        return await self._store.account_by_id(self._settings.realm, account_id), epochs

    def _keys(self, address: str, network_address: str) -> AttemptKeys:
        return attempt_keys(
            self._throttle_key,
            realm=self._settings.realm,
            address=address,
            network=throttle_network(network_address),
        )

    def _refused(self, refusal: Refusal, subject: str, origin: Origin) -> None:
        self._audit(
            SignInRefused(
                at=self._clock.now(),
                realm=self._settings.realm,
                address=origin.address,
                code=refusal.code,
                subject=subject,
            )
        )
