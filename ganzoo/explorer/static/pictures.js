// Pictures from the server. Each place on the page waits for one picture at a time, and then asks for the newest state.

const tab = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36)).join("-").slice(0, 40);
const RETRY = 400; // ms before asking a busy server again

export class Place {
  constructor(name, image, { done = () => {}, failed = () => {} } = {}) {
    Object.assign(this, { name, image, done, failed, wanted: null, busy: false, url: null });
  }

  show(params) {
    this.wanted = params.toString();
    if (!this.busy) this.load();
  }

  clear() {
    this.wanted = null;
    this.image.removeAttribute("src");
  }

  async load() {
    this.busy = true;
    while (this.wanted !== null) {
      const asked = this.wanted;
      this.wanted = null;
      try {
        const response = await fetch(`/picture?${asked}&tab=${tab}&place=${this.name}`);
        if (response.status === 503) {
          await new Promise((resolve) => setTimeout(resolve, RETRY));
          this.wanted ??= asked;
        } else if (response.ok) {
          const former = this.url;
          this.url = URL.createObjectURL(await response.blob());
          this.image.src = this.url;
          if (former) URL.revokeObjectURL(former);
          this.done(decodeURIComponent(response.headers.get("X-Command") ?? ""), asked);
        } else if (response.status !== 409) {
          this.failed(await response.text());
        }
      } catch {
        this.failed("The server does not answer. Is `ganzoo explore` still running?");
      }
    }
    this.busy = false;
  }
}

// Show a command, which is broken between its words only: a browser would also break it after dashes.
export function showWords(code, command) {
  const words = command.split(" ").map((word) => Object.assign(document.createElement("span"), { textContent: word }));
  code.replaceChildren(...words.flatMap((word, index) => (index ? [" ", word] : [word])));
}

export async function text(path) {
  const response = await fetch(path);
  const body = await response.text();
  if (!response.ok) throw new Error(body);
  return body;
}

export async function upload(file) {
  const response = await fetch(`/images?file=${encodeURIComponent(file.name)}`, { method: "POST", body: file });
  if (!response.ok) throw new Error(await response.text());
  return (await response.json()).name;
}
