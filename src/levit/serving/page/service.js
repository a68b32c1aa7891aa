// Requests to the service. Every failure is a ServiceError whose message is a sentence.
// Addresses are relative, so that a proxy may serve the page below a path of its own.

const RETRIES = 6;

let apiKey = "";
let askForKey = async () => "";
let question = null; // promise of a key, while the user is asked for all requests together

export class ServiceError extends Error {}

/** The service needs a key, and the user gave none. */
export class KeyError extends ServiceError {}

/** Sets the function that asks the user for an API key, with whether the last one was wrong; "" is none. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/**
 * Loaded models: [{name, source, labels, image_size, threshold, top1, engine, precision}].
 * While they are loading, the service is asked again and again, and `onLoading` is called each time.
 */
export async function listModels(onLoading) {
  const response = await request("models", {}, onLoading);
  return (await response.json()).models;
}

/** Labels of one image: {prediction, milliseconds}, with the time that the service took, or null; `signal` aborts. */
export async function predict(model, file, signal) {
  const address = `predictions/${encodeURIComponent(model)}?top_k=5`;
  const response = await request(address, { method: "POST", body: file, headers: imageType(file), signal });
  const time = /dur=([\d.]+)/.exec(response.headers.get("Server-Timing") ?? "");
  return { prediction: await response.json(), milliseconds: time ? Number(time[1]) : null };
}

/** Map of one class, by its index, over one image: see /docs; `signal` aborts. */
export async function explain(model, file, index, signal) {
  const address = `explanations/${encodeURIComponent(model)}?class_index=${index}`;
  const response = await request(address, { method: "POST", body: file, headers: imageType(file), signal });
  return response.json();
}

function imageType(file) {
  return { "Content-Type": file.type.startsWith("image/") ? file.type : "application/octet-stream" };
}

async function request(address, options = {}, onLoading = null) {
  for (let attempt = 0; ; attempt++) {
    const key = apiKey;
    const response = await send(address, options);
    if (response.ok) return response;
    if (response.status === 401) {
      if (!(await getKey(key))) throw new KeyError("This service needs an API key.");
      attempt--;
      continue;
    }
    if (response.status === 503 && onLoading) {
      onLoading();
      attempt = -1; // large models take more than a few attempts
    }
    if ((response.status === 429 || response.status === 503) && attempt < RETRIES) {
      const seconds = Number(response.headers.get("Retry-After")) || 1;
      await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
      continue;
    }
    throw new ServiceError(sentence(await reason(response)));
  }
}

/** Gets another key than one that was refused; false if the user gives none. */
async function getKey(refused) {
  if (apiKey !== refused) return true; // meanwhile
  question ??= askForKey(refused !== "").finally(() => { question = null; });
  const key = await question;
  apiKey = key || apiKey;
  return key !== "";
}

async function send(address, options) {
  const headers = { ...options.headers, ...(apiKey && { Authorization: `Bearer ${apiKey}` }) };
  try {
    return await fetch(address, { ...options, headers });
  } catch {
    if (options.body && !(await isReadable(options.body))) {
      throw new ServiceError("This file cannot be read. Was it changed or removed, or is it a folder?");
    }
    throw new ServiceError("The service does not respond. Is levit serve still running?");
  }
}

async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `the service responded with ${response.status} ${response.statusText}`;
  }
}

/** Makes a sentence of a reason, without the description of an image that has no name. */
export function sentence(reason) {
  const text = String(reason).replace(/^<?(\d[\d,.]* )?(bytes|an image in memory)[^:]*>?: /, "").trim();
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
