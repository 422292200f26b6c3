// Holds objects against Kubernetes' schemas, strictly. The package's checks let unknown fields pass. So
// they are given objects that note which fields are looked at: a check looks at all that its schema
// has, so a field that nobody looked at is unknown.
//
// Input: a JSON array of objects. Output: for each an array of what is wrong, a place and a reason.
import { existsSync, readFileSync } from "node:fs";

const schemas = new URL("../../build/manifests/node_modules/kubernetes-models/_schemas/", import.meta.url);

// A copy that notes in `all` the path of each field there is, and in `seen` of each that is looked at.
function watched(value, path, all, seen) {
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map((item, i) => watched(item, `${path}/${i}`, all, seen));
    const copy = {};
    for (const [name, item] of Object.entries(value)) {
        all.add(`${path}/${name}`);
        copy[name] = watched(item, `${path}/${name}`, all, seen);
    }
    return new Proxy(copy, {
        get(target, name) {
            if (typeof name === "string") seen.add(`${path}/${name}`);
            return target[name];
        },
    });
}

// The file of a kind's schema: apps/v1 Deployment is IoK8sApiAppsV1Deployment.js, v1 Service IoK8sApiCoreV1Service.js.
function schema_of({ apiVersion, kind }) {
    const parts = apiVersion.split("/");
    const [group, version] = parts.length === 1 ? ["core", ...parts] : parts;
    const capital = (text) => text[0].toUpperCase() + text.slice(1);
    return new URL(`IoK8sApi${capital(group.split(".")[0])}${capital(version)}${kind}.js`, schemas);
}

async function faults(object) {
    const schema = schema_of(object);
    if (!existsSync(schema)) return [`${object.apiVersion} ${object.kind}: no such kind`];
    const { validate } = await import(schema.href);
    const all = new Set(), seen = new Set();
    validate(watched(object, "", all, seen));
    const wrong = (validate.errors ?? []).map(({ instancePath, keyword, params }) => `${instancePath}: ${keyword} ${JSON.stringify(params)}`);
    const unknown = [...all].filter((path) => !seen.has(path));
    const is_below_another = (path) => unknown.some((other) => path.startsWith(`${other}/`));
    return [...wrong, ...unknown.filter((path) => !is_below_another(path)).map((path) => `${path}: unknown field`)];
}

const results = [];
for (const object of JSON.parse(readFileSync(0, "utf8"))) results.push(await faults(object));
process.stdout.write(JSON.stringify(results));
