// Keeps the summary of a running eval fresh: each second the server's own rendering takes the place of the old one.

const EVERY = 1_000;
const AT_MOST = 30_000;

// XMLHttpRequest, since it parses the answer as an inert document: no HTML ever passes through a string here, so the
// page's policy can forbid all that would (trusted-types 'none').
function load(url) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.timeout = AT_MOST;
    request.onload = () => (request.status < 500 ? resolve(request.response) : reject(new Error(request.statusText)));
    request.onerror = request.ontimeout = () => reject(new Error("The server does not answer."));
    request.send();
  });
}

function replace(fresh) {
  const old = document.getElementById(fresh.id);
  const inUse = old?.contains(document.activeElement); // whoever stands on a link there keeps it
  if (old && !inUse && !old.isEqualNode(fresh)) old.replaceChildren(...fresh.childNodes);
}

function follow(url, wait) {
  setTimeout(async () => {
    if (document.hidden) return follow(url, EVERY);
    let answer;
    try {
      answer = await load(url);
    } catch {
      return follow(url, Math.min(wait * 2, AT_MOST));
    }
    if (answer?.getElementById("live-summary")?.dataset.running !== "yes") return location.reload();
    answer.querySelectorAll("[data-live]").forEach(replace);
    follow(url, EVERY);
  }, wait);
}

const summary = new URL(location.href);
summary.searchParams.set("fragment", "summary");
follow(summary, EVERY);
