// Pictures and commands from the server. Each place on the page waits for one at a time, and then asks for the newest.

const tab = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36)).join("-").slice(0, 40);
const RETRY = 400; // ms before asking a busy server again

// Calls `work`, which must not fail, with one value at a time, and then with the newest that was wanted meanwhile.
export class Newest {
  constructor(work) {
    Object.assign(this, { work, wanted: null, busy: false });
  }

  async want(value) {
    this.wanted = value;
    if (this.busy) return;
    this.busy = true;
    while (this.wanted !== null) {
      const next = this.wanted;
      this.wanted = null;
      await this.work(next);
    }
    this.busy = false;
  }
}

export class Place {
  constructor(name, image, { done = () => {}, failed = () => {} } = {}) {
    Object.assign(this, { name, image, done, failed, url: null, lent: false });
    this.queue = new Newest((asked) => this.load(asked));
  }

  show(params) {
    this.lent = false;
    this.queue.want(params.toString());
  }

  // Leave the image to others until `show` is called again.
  lend() {
    this.lent = true;
    this.queue.wanted = null;
  }

  async load(asked) {
    try {
      const response = await fetch(`/picture?${asked}&tab=${tab}&place=${this.name}`);
      if (response.status === 503) {
        await new Promise((resolve) => setTimeout(resolve, RETRY));
        if (!this.lent) this.queue.wanted ??= asked;
      } else if (response.ok) {
        const content = await response.blob();
        if (this.lent) return;
        const former = this.url;
        this.url = URL.createObjectURL(content);
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
