// The pages where somebody signs in, opens a mailbox and keeps their means of signing in. Text is put in as text, never as HTML.

const main = document.getElementById("main");

class Refused extends Error {
  constructor(status, answer) {
    super(answer.fr ?? "Une erreur est survenue.");
    this.status = status;
    this.fact = answer.error ?? "";
    this.en = answer.en ?? "Something went wrong.";
  }
}

async function ask(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  const said = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Refused(answer.status, said ?? {});
  return said;
}

function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick" || key === "onsubmit") made[key] = value;
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** An address, which may be cut before its @ where the screen is narrow. */
function shown(address) {
  const [local, domain] = address.split("@");
  return el("span", {}, local, el("wbr"), `@${domain}`);
}

const both = (fr, en) => [fr, el("span", { class: "en", lang: "en" }, en)];
const show = (...children) => main.replaceChildren(...children);
const sheet = (...children) => el("section", { class: "sheet" }, ...children);
const date = (milliseconds) => new Date(milliseconds).toLocaleString("fr-FR", { dateStyle: "medium", timeStyle: "short" });

/** Run a deed; what is refused is said beside the button that asked for it, and the button serves again. */
function deed(words, run, kind = "deed") {
  const button = el("button", { type: "button", class: kind }, ...words);
  button.onclick = async () => {
    button.disabled = true;
    button.parentElement.querySelectorAll(".note").forEach((old) => old.remove());
    try {
      await run();
    } catch (error) {
      const said = error instanceof Refused ? both(error.message, error.en) : both("L'opération a été interrompue.", "It was interrupted.");
      button.after(el("p", { class: "note", role: "alert" }, ...said));
    } finally {
      button.disabled = false;
    }
  };
  return button;
}

// Passkeys: the browser wants octets where JSON has base64url.
const octets = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text64 = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function written(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text64(credential.response[name]);
  }
  return { id: credential.id, rawId: text64(credential.rawId), type: credential.type, clientExtensionResults: {}, response };
}

async function addPasskey(name) {
  const options = await ask("POST", "/api/passkeys/options", {});
  const publicKey = {
    ...options,
    challenge: octets(options.challenge),
    user: { ...options.user, id: octets(options.user.id) },
    excludeCredentials: options.excludeCredentials.map((each) => ({ ...each, id: octets(each.id) })),
  };
  const made = await navigator.credentials.create({ publicKey });
  return ask("POST", "/api/passkeys", { name, credential: written(made) });
}

async function touch() {
  const options = await ask("POST", "/api/sign-in/passkey/options", {});
  const proved = await navigator.credentials.get({ publicKey: { ...options, challenge: octets(options.challenge), allowCredentials: [] } });
  await ask("POST", "/api/sign-in/passkey", { credential: written(proved) });
}

const psc = (again = "") => `/sign-in/pro-sante-connect?next=/${again}`;

function welcome() {
  show(
    el("h1", {}, "Votre adresse sécurisée de santé, en cinq minutes"),
    el("p", { class: "lead" }, "Gratuite, pour écrire à tous les professionnels de l'espace de confiance MSSanté."),
    sheet(
      el("div", { class: "deeds" },
        el("a", { class: "deed", href: psc() }, "S'identifier avec Pro Santé Connect"),
        window.PublicKeyCredential ? deed(["Utiliser ma clé d'accès"], async () => { await touch(); await start(); }, "quiet") : null,
        "cards" in main.dataset ? el("a", { class: "quiet", href: "/sign-in/certificate?next=/" }, "Utiliser ma carte CPS") : null),
      el("p", { class: "lead", lang: "en" }, "Sign in with Pro Santé Connect the first time, with a touch every day after.")),
  );
}

async function enrol(session) {
  const offer = await ask("GET", "/api/enrolment");
  const form = el("form", {});
  const choice = (address, checked) =>
    el("label", { class: "choice" }, el("input", { type: "radio", name: "address", value: address, checked }), shown(address));
  form.append(
    sheet(
      el("h2", {}, "Est-ce bien vous ?"),
      el("dl", {}, el("dt", {}, "Nom"), el("dd", {}, offer.name), el("dt", {}, "Profession"), el("dd", {}, offer.profession),
        ...offer.places.flatMap((place) => [el("dt", {}, "Exercice"), el("dd", {}, place)]))),
    sheet(
      el("h2", {}, "Votre adresse"),
      ...offer.addresses.map((address, place) => choice(address, place === 0)),
      offer.elsewhere.length
        ? el("p", { class: "lead" }, `Vous avez déjà ailleurs : ${offer.elsewhere.join(", ")}. Vous pouvez garder les deux.`)
        : null,
      el("label", { class: "choice" }, el("input", { type: "checkbox", name: "red" }),
        el("span", {}, ...both("Ne pas la publier dans l'annuaire (liste rouge)", "Keep it out of the directory"))),
      el("label", { class: "choice" }, el("input", { type: "checkbox", name: "terms" }),
        el("span", {}, ...both(`J'accepte les conditions d'utilisation (${offer.terms})`, "I accept the terms of use")))),
    el("div", { class: "deeds" },
      deed(["Ouvrir ma boîte"], async () => {
        const chosen = new FormData(form);
        await ask("POST", "/api/enrolment", {
          address: chosen.get("address") ?? "",
          terms: chosen.get("terms") ? offer.terms : "",
          red_list: chosen.get("red") !== null,
        });
        await start();
      })),
  );
  show(el("h1", {}, `Bonjour ${session.name}`), form);
}

async function home(session) {
  const [passkeys, sessions] = await Promise.all([ask("GET", "/api/passkeys"), ask("GET", "/api/sessions")]);
  const own = session.accounts.filter((each) => each.state !== "closed");
  const secret = el("div", {});
  const again = () => (session.fresh ? null : el("p", { class: "note" },
    ...both("Pour modifier vos moyens de connexion, confirmez d'abord votre identité.", "Confirm who you are to change how you sign in."),
    " ", el("a", { href: psc("&again=1") }, "Pro Santé Connect")));
  show(
    el("h1", {}, own.length ? "Votre boîte est ouverte" : "Bienvenue"),
    sheet(el("h2", {}, "Vos boîtes"),
      el("ul", { class: "rows" }, ...own.map((each) => el("li", {}, el("span", {}, shown(each.address), el("span", { class: "en" }, each.name)),
        each.kind === "APP" ? null : deed(["Mot de passe pour un logiciel"], async () => {
          const label = prompt("Nom de l'appareil ou du logiciel", "Ordinateur du cabinet");
          if (!label) return;
          const made = await ask("POST", `/api/accounts/${encodeURIComponent(each.address)}/app-passwords`, { label });
          secret.replaceChildren(el("p", {}, "À recopier maintenant, il ne sera plus affiché :"), el("p", { class: "secret" }, made.secret));
        }, "quiet small")))),
      secret),
    sheet(el("h2", {}, "Connexion d'un seul geste"), again(),
      passkeys.length ? null : el("p", { class: "lead" }, "Ajoutez une clé d'accès : demain, l'empreinte ou le code de cet appareil suffira."),
      el("ul", { class: "rows" }, ...passkeys.map((each) => el("li", {},
        el("span", {}, each.name, el("span", { class: "en" }, each.cloned ? "copie détectée : ne sert plus" : `depuis le ${date(each.created_at)}`)),
        deed(["Supprimer"], async () => { await ask("DELETE", `/api/passkeys/${each.id}`); await start(); }, "quiet small")))),
      el("div", { class: "deeds" },
        deed(["Ajouter une clé d'accès"], async () => { await addPasskey(`Appareil du ${new Date().toLocaleDateString("fr-FR")}`); await start(); }),
        deed(["Codes de secours"], async () => {
          const made = await ask("POST", "/api/recovery-codes", {});
          codes.replaceChildren(el("p", {}, "À imprimer ou recopier, chacun sert une fois :"), el("ul", { class: "codes secret" }, ...made.codes.map((each) => el("li", {}, each))));
        }, "quiet"))),
    sheet(el("h2", {}, "Appareils connectés"),
      el("ul", { class: "rows" }, ...sessions.map((each) => el("li", {},
        el("span", {}, each.device || "Appareil", el("span", { class: "en" }, `${each.current ? "celui-ci · " : ""}vu le ${date(each.used_at)}`)),
        each.current ? null : deed(["Déconnecter"], async () => { await ask("DELETE", `/api/sessions/${each.id}`); await start(); }, "quiet small")))),
      el("div", { class: "deeds" },
        sessions.length > 1 ? deed(["Déconnecter les autres"], async () => { await ask("DELETE", "/api/sessions"); await start(); }, "quiet") : null,
        deed(["Me déconnecter"], async () => { await ask("DELETE", "/api/session"); await start(); }, "quiet"))),
  );
  const codes = el("div", {});
  main.querySelectorAll(".sheet")[1].append(codes);
}

function invitation(secret) {
  const name = el("input", { name: "name", autocomplete: "name", required: true });
  show(
    el("h1", {}, "Vous êtes invité dans une boîte partagée"),
    sheet(
      el("label", { class: "field" }, "Vos prénom et nom", name),
      el("div", { class: "deeds" }, deed(["Accepter l'invitation"], async () => {
        await ask("POST", "/api/invitations/take-up", { secret, name: name.value });
        history.replaceState(null, "", "/");
        await start();
      }))),
  );
}

async function start() {
  const secret = location.pathname === "/invitation" ? location.hash.slice(1) : "";
  if (secret) return invitation(secret);
  let session;
  try {
    session = await ask("GET", "/api/session");
  } catch (error) {
    if (error.status === 401) return welcome();
    return show(el("p", { class: "note", role: "alert" }, ...both(error.message, error.en ?? "")));
  }
  const who = document.getElementById("who");
  who.textContent = session.name;
  who.hidden = false;
  if (session.accounts.length || session.means === "invitation" || session.means === "passkey") return home(session);
  try {
    await enrol(session);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    show(el("h1", {}, `Bonjour ${session.name}`), el("p", { class: "note", role: "alert" }, ...both(error.message, error.en)),
      el("div", { class: "deeds" }, deed(["Me déconnecter"], async () => { await ask("DELETE", "/api/session"); await start(); }, "quiet")));
  }
}

await start();
