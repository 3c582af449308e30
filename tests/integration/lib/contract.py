"""docs/openapi.yaml as the judge of every answer that the registry gives in the tests, docs/agent.openapi.yaml as the
agent's.

An answer is right when its path, method and status are in the document, its headers are those that stand there
(and a few that every answer has), its media type is one of the documented ones, and its body matches the
schema. Objects of the document are closed here: a member that no schema names is a fault of the document. When a
request succeeded, its query and body must have been documented as well.

Not documented, and judged by rules of their own: 404 where the document has no path, 405 with Allow where it has
no method. What the HTTP parser refuses is not judged; such requests say so (net.Api, unjudged=True).
"""

import gzip
import json
import re
from urllib.parse import parse_qsl, unquote_to_bytes

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from .pki import ROOT

DOCUMENT = ROOT / "docs/openapi.yaml"
AGENT_DOCUMENT = ROOT / "docs/agent.openapi.yaml"
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
# on any answer: HTTP's own, and those that docs/openapi.yaml names for all in its description
COMMON = {"content-type", "content-length", "content-encoding", "connection", "date", "server", "transfer-encoding",
          "x-content-type-options", "x-request-id", "traceparent", "cache-control"}


class ContractError(AssertionError):
    """What was sent and what the document says differ."""


def expand(node, root):
    """A copy of `node` with each $ref replaced by what it names. The document has no circles."""
    if isinstance(node, dict):
        if "$ref" in node:
            target = root
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            return expand(target, root)
        return {name: expand(value, root) for name, value in node.items()}
    if isinstance(node, list):
        return [expand(value, root) for value in node]
    return node


def close(schema, part_of_all=False):
    """The same schema without room for members that it does not name."""
    if not isinstance(schema, dict):
        return schema
    closed = dict(schema)
    for name in ("anyOf", "oneOf"):
        if name in schema:
            closed[name] = [close(one) for one in schema[name]]
    if "allOf" in schema:
        closed["allOf"] = [close(one, True) for one in schema["allOf"]]
        closed.setdefault("unevaluatedProperties", False)
    if "properties" in schema:
        closed["properties"] = {name: close(one) for name, one in schema["properties"].items()}
        if not part_of_all:
            closed.setdefault("additionalProperties", False)
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            closed[name] = close(schema[name])
    return closed


def decodable(segment):
    """The router takes a parameter only when its percent-encoding is whole and means neither NUL nor '/'."""
    whole = not re.search(r"%(?![0-9A-Fa-f]{2})", segment)
    return whole and not set(b"\0/") & set(unquote_to_bytes(segment))


def faults(schema, value):
    """None, or in words what is wrong with `value`."""
    every = list(Draft202012Validator(schema).iter_errors(value))
    # whatever is wrong in a part of an allOf leaves its members unevaluated as well: not the cause
    found = best_match([one for one in every if one.validator != "unevaluatedProperties"] or every)
    return f"/{'/'.join(str(part) for part in found.absolute_path)}: {found.message}"[:600] if found else None


class Contract:
    """One document. `seen` collects (method, path, status) of every answer that was right."""

    def __init__(self, path=DOCUMENT):
        document = yaml.safe_load(path.read_text())
        self.paths = expand(document["paths"], document)
        self.problem = close(expand(document["components"]["schemas"]["Problem"], document))
        self.retry_after = expand(document["components"]["headers"]["Retry-After"], document)
        self.seen = set()
        for item in self.paths.values():
            for method in [m for m in item if m in METHODS]:
                operation = item[method]
                operation["parameters"] = item.get("parameters", []) + operation.get("parameters", [])
                bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
                for media in [m for body in bodies for m in body.get("content", {}).values()]:
                    media["schema"] = close(media["schema"])

    def documented(self):
        """All (method, path, status) of the document."""
        return {
            (method, path, int(status))
            for path, item in self.paths.items() for method in METHODS if method in item
            for status in item[method]["responses"]
        }

    def find(self, path):
        """The template that the router would take for a path: a literal segment wins over a parameter."""
        segments = path.split("/")

        def literals(template):
            parts = template.split("/")
            if len(parts) != len(segments):
                return None
            fits = [p == s or (p.startswith("{") and s != "" and decodable(s)) for p, s in zip(parts, segments)]
            return [p == s for p, s in zip(parts, segments)] if all(fits) else None

        found = [(rank, template) for template in self.paths if (rank := literals(template)) is not None]
        return max(found)[1] if found else None

    # ---- judging ----

    def check(self, method, target, headers, body, reply):
        """Raises ContractError unless `reply` is what the document says about this request."""
        path, _, query = target.partition("?")
        template = self.find(path)
        name = "get" if method == "HEAD" else method.lower()
        try:
            self._check_common(reply)
            if template is None:
                self._check_refusal(method, reply, 404, "NOT_FOUND",
                                    "docs/openapi.yaml has no path for it; add it under `paths`, or expect 404")
                return
            item = self.paths[template]
            if name not in item:
                self._check_405(item, method, reply)
                return
            self._check_response(item[name], method, reply)
            if 200 <= reply.status < 300:
                self._check_request(item[name], query, headers, body)
        except ContractError as error:
            raise ContractError(
                f"{method} {target} → {reply.status}: {error}\n  path {template}, "
                f"headers {dict(reply.headers)}, body {reply.body[:400]!r}") from None
        self.seen.add((name, template, reply.status))

    @staticmethod
    def _check_common(reply):
        if not re.fullmatch(r"[0-9a-f]{16}", reply.headers.get("X-Request-Id", "")):
            raise ContractError("X-Request-Id is missing or not 16 hexadecimal digits")
        if reply.headers.get("X-Content-Type-Options") != "nosniff" or "Cache-Control" not in reply.headers:
            raise ContractError("X-Content-Type-Options: nosniff or Cache-Control is missing")

    def _check_refusal(self, method, reply, status, code, otherwise):
        if reply.status == 429:  # counts for every request, whatever its path
            status, code = 429, "TOO_MANY_REQUESTS"
            self._check_headers({"Retry-After": self.retry_after}, reply)
        if reply.status != status:
            raise ContractError(otherwise)
        if reply.headers.get_content_type() != "application/problem+json":
            raise ContractError(f"{status} without application/problem+json")
        if method == "HEAD":
            return
        if fault := faults(self.problem, json.loads(reply.body)):
            raise ContractError(f"the problem document: {fault}")
        if (reply.json["status"], reply.json["code"]) != (status, code):
            raise ContractError(f"{status} must have the code {code}")

    def _check_405(self, item, method, reply):
        self._check_refusal(method, reply, 405, "METHOD_NOT_ALLOWED",
                            f"docs/openapi.yaml has no `{method.lower()}` for the path; add it, or expect 405")
        expected = {m.upper() for m in METHODS if m in item} | ({"HEAD"} if "get" in item else set())
        if reply.status == 405 and {m.strip() for m in reply.headers.get("Allow", "").split(",")} != expected:
            raise ContractError(f"Allow is not {', '.join(sorted(expected))}")

    def _check_response(self, operation, method, reply):
        response = operation["responses"].get(str(reply.status))
        if response is None:
            raise ContractError(
                f"docs/openapi.yaml has no status {reply.status} for it; add '{reply.status}' under "
                f"`responses` of {operation['operationId']}, if it is meant")
        self._check_headers(response.get("headers", {}), reply)
        body = gzip.decompress(reply.body) if reply.headers.get("Content-Encoding") == "gzip" and reply.body else reply.body
        content = response.get("content")
        if content is None or method == "HEAD":
            if body:
                raise ContractError("a body, where the document has none")
            if content is None:
                return
        media = reply.headers.get("Content-Type", "")
        found = [schema for kind, schema in content.items() if media.partition(";")[0] == kind]
        if not found:
            raise ContractError(f"Content-Type {media!r} is not one of {sorted(content)}; see `content` of the response")
        if method == "HEAD":
            return
        if fault := faults(found[0]["schema"], self._value(media, body)):
            raise ContractError(f"the body is not as `schema` of the response says, {fault}")
        if media == "application/problem+json" and json.loads(body)["status"] != reply.status:
            raise ContractError("`status` of the problem is another")

    @staticmethod
    def _check_headers(documented, reply):
        lower = {name.lower(): header for name, header in documented.items()}
        for name, header in lower.items():
            if name not in reply.headers:
                if header.get("required"):
                    raise ContractError(f"the header {name} is missing, which the document requires")
            elif fault := faults(header["schema"], reply.headers[name]):
                raise ContractError(f"the header {name}: {fault}")
        extra = {name.lower() for name in reply.headers} - lower.keys() - COMMON
        if extra:
            raise ContractError(f"headers that are not documented: {sorted(extra)}; add them under `headers`")

    @staticmethod
    def _value(media, body):
        """What a schema judges: the JSON, or the text; bytes stand for themselves, one character each."""
        if "json" in media:
            try:
                return json.loads(body)
            except ValueError as error:
                raise ContractError(f"the body is no JSON: {error}") from None
        return body.decode("latin-1")

    def _check_request(self, operation, query, headers, body):
        known = {p["name"]: p for p in operation["parameters"] if p["in"] == "query"}
        given = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
        if unknown := set(given) - known.keys():
            raise ContractError(f"accepted with query parameters that are not documented: {sorted(unknown)}")
        if lacking := {name for name, p in known.items() if p.get("required")} - set(given):
            raise ContractError(f"accepted without required query parameters: {sorted(lacking)}")
        if not body:
            if operation.get("requestBody", {}).get("required"):
                raise ContractError("accepted without the body that the document requires")
            return
        content = operation.get("requestBody", {}).get("content", {})
        media = next((v for k, v in headers.items() if k.lower() == "content-type"), "").partition(";")[0].strip().lower()
        if media not in content:
            raise ContractError(f"accepted with a {media or 'nameless'} body; `requestBody` has {sorted(content)}")
        if "json" in media and (fault := faults(content[media]["schema"], json.loads(body))):
            raise ContractError(f"accepted with a body that `requestBody` does not allow, {fault}")


REGISTRY = Contract()
AGENT = Contract(AGENT_DOCUMENT)
