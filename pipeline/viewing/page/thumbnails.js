// Small pictures, fetched a few at a time; those that are no longer wanted are given up.

const AT_ONCE = 5; // browsers open six connections to a server; one is left for the rest of the page
const KEPT = 800;

export class Thumbnails {
  constructor() {
    this.kept = new Map(); // url -> address of the picture in memory, in the order of use
    this.waiting = new Map(); // url -> what to do with the answer; the last is fetched first
    this.running = new Map(); // url -> controller of the request
  }

  // Calls `done(address, error)` when the picture is there.
  want(url, done) {
    const address = this.kept.get(url);
    if (address) {
      this.kept.delete(url);
      this.kept.set(url, address);
      done(address);
      return;
    }
    this.waiting.set(url, done);
    this.fetchNext();
  }

  giveUp(url) {
    this.waiting.delete(url);
    this.running.get(url)?.abort();
  }

  fetchNext() {
    while (this.running.size < AT_ONCE) {
      const url = [...this.waiting.keys()].findLast((one) => !this.running.has(one));
      if (url === undefined) return;
      const controller = new AbortController();
      this.running.set(url, controller);
      this.fetch(url, controller.signal);
    }
  }

  async fetch(url, signal) {
    let address, problem;
    try {
      const answer = await fetch(url, { signal });
      if (!answer.ok) throw new Error((await answer.json()).error);
      address = URL.createObjectURL(await answer.blob());
      this.keep(url, address);
    } catch (error) {
      problem = signal.aborted ? undefined : error.message;
    }
    this.running.delete(url);
    const done = this.waiting.get(url);
    if (address || problem) {
      this.waiting.delete(url);
      done?.(address, problem);
    }
    this.fetchNext();
  }

  keep(url, address) {
    this.kept.set(url, address);
    if (this.kept.size > KEPT) {
      const [oldest, old] = this.kept.entries().next().value;
      this.kept.delete(oldest);
      URL.revokeObjectURL(old);
    }
  }
}
