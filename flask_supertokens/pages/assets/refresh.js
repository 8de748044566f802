// The page of a refresh hop: refresh the session, then ask for this address again, in its place in the history.
// A refresh that fails for a reason that the user has to read brings a page, which is shown here; what else fails is left to
// the form. A file takes no page's place: the server tells by a cookie that it sent one, and the browser goes back.
(async () => {
  const form = document.getElementById("supertokens-refresh");
  const file = document.getElementById("supertokens-file"); // not there if the app has a template of its own
  const told = file ? file.dataset.cookie : "";
  const body = new URLSearchParams(new FormData(form));
  let answer, page;
  try {
    answer = await fetch(form.action, { method: "POST", body, headers: { "supertokens-hop": "1" } });
    page = await answer.text();
  } catch {
    return form.submit();
  }
  if (!answer.ok) {
    if (!/^text\/html/i.test(answer.headers.get("Content-Type") || "")) return form.submit();
    document.open();
    document.write(page);
    return document.close();
  }
  if (told) forget();
  location.reload(); // a GET, as this page comes of no other; and the fragment stays
  if (told) setInterval(look, 100);

  function look() {
    if (!document.cookie.split("; ").includes(told)) return;
    forget();
    const heading = document.querySelector("h1");
    document.title = heading.textContent = file.dataset.title;
    form.parentElement.replaceChildren(heading, file.content);
    if (self === top) history.back();
  }

  function forget() {
    const secure = told.startsWith("__Host-") ? "; Secure" : "";
    const removal = `${told.split("=")[0]}=; Path=/; Max-Age=0`;
    document.cookie = removal + secure;
    document.cookie = `${removal}; Secure; SameSite=None; Partitioned`; // another one, where cookies are partitioned
  }
})();
