// A page from the file system may start no worker: there the search runs in a hidden frame. As with a worker, a message
// is a copy and arrives after the event that sent it.
if (location.protocol === "file:") {
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => setTimeout(() => this.onmessage?.({ data: structuredClone(data) }));
      const script = inside.document.createElement("script");
      script.src = url;
      this.ready = new Promise((resolve) => script.addEventListener("load", () => resolve(inside)));
      inside.document.head.append(script);
    }

    postMessage(data) {
      const copy = structuredClone(data);
      this.ready.then((inside) => setTimeout(() => inside.onmessage?.({ data: copy })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
