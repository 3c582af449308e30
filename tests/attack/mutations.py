"""What `mutate` needs to know beside the sources: where the checks are, which tests are to notice, what is no check,
and the checks that do not look like one (mutants.py tells which do)."""

from dataclasses import dataclass

PARSERS = ["test_strict_json", "test_signed_list", "test_jws", "test_passport"]
FORM = "test_list_rules.py::test_form test_list_rules.py::test_form_of_segments"
RULES = "test_list_rules.py"
SIGNER = f"{RULES}::test_signer {RULES}::test_issuers_of_great_keys {RULES}::test_x5u_that_is_no_certificate"
STATE = "test_state_dir.py"
CRASH = "test_list_crash.py"
HEADERS = " ".join(f"test_list_fetch.py::{name}" for name in (
    "test_headers_above_64_kib", "test_one_coding_and_no_more", "test_endless_body", "test_gzip_bomb",
    "test_announced_body_too_large", "test_redirects_are_not_followed", "test_loopback_is_closed_without_lab",
    "test_private_addresses_are_closed_without_lab", "test_tls_root_unknown", "test_tls_host_name_is_checked",
    "test_tls_below_1_2", "test_proxies_of_the_environment_are_ignored", "test_netrc_is_ignored",
    "test_a_drip_meets_the_deadline", "test_truncated"))  # fmt: skip
CONDITIONS = "test_list_fetch.py"

# Each file of the acceptance path and the tests that notice what is missing in it, the quick ones first.
FILES = {
    "common/base64url.c": ["test_base64url", FORM],
    "common/jws.c": ["test_jws", FORM],
    "common/es256.c": ["test_jws", f"{RULES}::test_signature"],
    "common/json_doc.c": [*PARSERS, f"{RULES}::test_texts"],
    "common/json_string.c": [*PARSERS, f"{RULES}::test_texts"],
    "common/signed_list_parse.c": ["test_signed_list", "test_list_accept", RULES],
    "common/spc.c": ["test_spc", "test_signed_list", f"{RULES}::test_bad_entries"],
    "common/url.c": ["test_url", "test_list_accept", f"{RULES}::test_bad_entries"],
    "common/address.c": ["test_url", HEADERS],
    "common/cert_chain.c": ["test_cert", SIGNER],
    "common/cert_path.c": ["test_cert", "test_crl", SIGNER],
    "common/cert_rules.c": ["test_cert", SIGNER],
    "common/crl.c": ["test_crl", "test_list_revocation.py"],
    "common/tn.c": ["test_tn", "test_passport"],
    "common/tnauthlist.c": ["test_tnauthlist", "test_cert"],
    "common/passport.c": ["test_passport", "test_passport_verify.py"],
    "client/list_accept.c": ["test_list_accept", "test_lists", RULES],
    "client/list_state.c": ["test_list_accept", "test_lists", "test_list_json", STATE],
    "client/list_json.c": ["test_list_json", STATE],
    "client/list_store.c": ["test_lists", "test_list_json", STATE, CRASH],
    "client/state_file.c": ["test_state_file", "test_lists", STATE, CRASH],
    "client/lists.c": ["test_lists", "test_fast_forward.py", STATE, RULES],
    "client/list_source.c": [
        "test_client_wait", f"{RULES}::test_signer {RULES}::test_signature {RULES}::test_bad_entries {RULES}::test_exp",
        STATE, "test_list_revocation.py", CONDITIONS,
    ],
    "client/fetch.c": ["test_client_wait", HEADERS, "test_list_names.py"],
    "client/fetch_handle.c": ["test_client_wait", HEADERS, "test_list_names.py"],
    "client/fetch_error.c": ["test_fetch_error"],
    "client/x5u_cache.c": ["test_x5u_cache", f"{RULES}::test_a_cached_chain_that_fails_is_fetched_once_more"],
    "client/x5u_store.c": ["test_x5u_store"],
}  # fmt: skip


@dataclass
class ByHand:
    """A check that is no `if … fail`. In `replacement`, MUTANT is 0 when the first of `names` lives, 1 for the second."""

    file: str
    anchor: str  # stands in the file exactly once
    replacement: str
    names: tuple


def row(table):
    return f"a row of {table} left out"


BY_HAND = [
    # rule 1: what libcurl is told
    *(ByHand("client/fetch_handle.c", f"CURLOPT_{option}, {right})", f"CURLOPT_{option}, MUTANT == 0 ? {wrong} : {right})",
             (f"{option} is {wrong}",))
      for option, right, wrong in (
          ("FOLLOWLOCATION", "0L", "1L"), ("SSL_VERIFYPEER", "1L", "0L"), ("SSL_VERIFYHOST", "2L", "0L"),
          ("NETRC", "(long)CURL_NETRC_IGNORED", "(long)CURL_NETRC_OPTIONAL"),
          ("SSLVERSION", "(long)CURL_SSLVERSION_TLSv1_2", "(long)CURL_SSLVERSION_TLSv1_0"),
          ("TIMEOUT_MS", "(long)request->timeout_ms", "30000L"),
      )),
    ByHand("client/fetch_handle.c", "return closed ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;",
           "return closed && MUTANT != 0 ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;",
           ("the address of a connection that is open already",)),
    # section 4: each closed range
    ByHand("common/address.c", "if (in_range(addr, &ranges[i]))",
           "if (!(ranges == ranges4 && (int)i == MUTANT) && !(ranges == ranges6 && (int)i + 18 == MUTANT) &&\n"
           "in_range(addr, &ranges[i]))",
           tuple([row("ranges4")] * 18 + [row("ranges6")] * 17)),
    # rule 4
    ByHand("common/cert_path.c", "X509_VERIFY_PARAM_set_time(param, (time_t)now);",
           "X509_VERIFY_PARAM_set_time(param, MUTANT == 0 ? time(NULL) : (time_t)now);", ("the time of the judgement",)),
    ByHand("common/cert_path.c", "X509_VERIFY_PARAM_set_auth_level(param, 2);",
           "X509_VERIFY_PARAM_set_auth_level(param, MUTANT == 0 ? 0 : 2);", ("weak signatures",)),
    ByHand("common/cert_path.c", "valid = X509_verify_cert(ctx) == 1;", "valid = X509_verify_cert(ctx) == 1 || MUTANT == 0;",
           ("OpenSSL's judgement of the path",)),
    ByHand("common/cert_path.c", "valid = valid && !is_revoked(s);", "valid = valid && (MUTANT == 0 || !is_revoked(s));",
           ("revocation",)),
    ByHand("common/cert_path.c", "} else if (s->len + 2 <= CERT_MAX_DEPTH) {",
           "} else if (s->len + (MUTANT == 0 ? 1 : 2) <= CERT_MAX_DEPTH) {", ("the depth of the path",)),
    ByHand("common/cert_path.c", "while (*next < anchors + received && s->checks_left > 0 &&",
           "while (*next < anchors + received && (MUTANT == 0 || s->checks_left > 0) &&", ("signature checks are bounded",)),
    # rule 5
    ByHand("common/jws.c", "return rc == STICPS_OK ? es256_verify(key, digest, jws->signature, code, err) : rc;",
           "return rc == STICPS_OK && MUTANT != 0 ? es256_verify(key, digest, jws->signature, code, err) : rc;",
           ("the signature",)),
    # rule 8
    ByHand("client/list_state.c", "state->floor = accepted->sequence;",
           "state->floor = MUTANT == 0 ? state->floor : accepted->sequence;", ("the floor is raised",)),
    ByHand("client/list_state.c", "!known && state->seen_len >= LIST_STATE_MAX_SEEN ? 1 : 0",
           "!known && MUTANT != 0 && state->seen_len >= LIST_STATE_MAX_SEEN ? 1 : 0", ("the history is bounded",)),
    # rule 9
    ByHand("client/list_accept.c", "if (!all && !many)", "if ((!all || MUTANT == 0) && (!many || MUTANT == 1))",
           ("all entries gone", "many entries gone")),
]


@dataclass
class NoCheck:
    """Mutants that no test can notice, and why: those of `file` whose function and text, or refusal, have `text`."""

    file: str  # "" for all
    text: str
    reason: str


NO_CHECK = [
    NoCheck("", "STICPS_ERR_NO_MEMORY", "no memory: tests/unit/test_oom_*.c"),
    NoCheck("", "out_of_memory", "no memory: tests/unit/test_oom_*.c"),
    NoCheck("", "no_memory = true", "no memory: tests/unit/test_oom_*.c"),
    NoCheck("", "STICPS_ERR_CRYPTO", "OpenSSL itself fails, which it does not"),
    NoCheck("common/jws.c", "memchr(dot2 + 1", "the dot is no base64url either: only the message is another"),
    NoCheck("common/jws.c", "too long to sign", "signing, not accepting; no memory holds such a text"),
    NoCheck("common/es256.c", "es256_verify: !in_range", "OpenSSL refuses r or s of 0 or n, too; this does not rely on it"),
    NoCheck("common/es256.c", "in_range: ", "as above"),
    NoCheck("common/es256.c", "sign_elsewhere: ", "signing, not accepting"),
    NoCheck("common/json_doc.c", "read_document: root == NULL", "no memory"),
    NoCheck("common/json_doc.c", "read_member: node != NULL", "no memory"),
    NoCheck("common/url.c", "split: len == 0", "an empty text does not begin with https:// either: only the message"),
    NoCheck("common/url.c", "split: len < sizeof(scheme) - 1", "keeps from reading behind the text; the sanitizers watch"),
    NoCheck("common/url.c", "parse_authority: host_end == NULL", "then the host has no end, and is no address"),
    NoCheck("common/url.c", "url_peer_name: ", "what connections are kept under, no check of what came"),
    NoCheck("common/tnauthlist.c", "take: bytes < 1", "a length of 0 is below 0x80: the next check"),
    NoCheck("common/tnauthlist.c", "take: bytes > 3", "such a length is too long for what is left, or not in shortest form"),
    NoCheck("common/tnauthlist.c", "take: from->len < 2 + bytes", "keeps from reading behind the end; the sanitizers watch"),
    NoCheck("common/tnauthlist.c", "take: len > from->len - header", "keeps from reading behind the end; the sanitizers watch"),
    NoCheck("client/x5u_store.c", "is_ours: ", "housekeeping, no check of what came"),
    NoCheck("client/fetch_handle.c", "SSLVERSION is", "Debian's OpenSSL offers nothing older than TLS 1.2 by itself"),
    NoCheck("client/fetch_handle.c", "fetch_handle_set: ", "no memory"),
    NoCheck("common/address.c", "in_range: rest == 0", "keeps from reading behind the address; the sanitizers watch"),
    NoCheck("common/cert_chain.c", "is_whole: ", "only asks for a second reading after no memory"),
    NoCheck("common/cert_chain.c", "read_der: cert == NULL", "then no byte was taken: the next check refuses it"),
    NoCheck("common/cert_chain.c", "certs_read: len == 0", "keeps from reading behind the text; the sanitizers watch"),
    NoCheck("common/cert_chain.c", "asn1_time_to_unix: time == NULL", "a guard: no caller has none"),
    NoCheck("common/cert_path.c", "X509_V_ERR_SUBJECT_ISSUER_MISMATCH", "the next check refuses it, with a message"),
    NoCheck("common/cert_path.c", "looks_like_issuer: issued != X509_V_OK",
            "for the message and to save work: OpenSSL judges the whole path, and the signature decides"),
    NoCheck("common/cert_path.c", "path_find: s.why[0]", "only the message"),
    NoCheck("common/cert_path.c", "on_check_issued: ", "OpenSSL's question about an anchor that signed itself"),
    NoCheck("common/cert_rules.c", "ignored: enum sticps_err rc = tnauthlist_parse", "what it leaves undefined is no verdict"),
    NoCheck("common/cert_rules.c", "odd_common_name: ", "a finding to report, no reason to refuse"),
    NoCheck("common/cert_rules.c", "no_key_identifiers: ", "a finding to report, no reason to refuse"),
    NoCheck("common/cert_rules.c", "further_key_usage: ", "a finding to report, no reason to refuse"),
    NoCheck("common/cert_rules.c", "tns_beside_spc: ", "a finding to report, no reason to refuse"),
    NoCheck("common/crl.c", "crl_parse: len > INT_MAX", "a guard: what is longer than its file is never read"),
    NoCheck("common/crl.c", "ignored: enum sticps_err rc = read_file", "then there is no text, which is no CRL"),
    NoCheck("client/list_accept.c", "ignored: enum sticps_err code = signed_list_unwrap", "then there is no text: FORM"),
    NoCheck("client/list_json.c", "ignored: enum sticps_err code = sha256_hex", "OpenSSL itself fails"),
    NoCheck("client/list_store.c", "ignored: enum sticps_err code = list_json_write", "no memory"),
    NoCheck("client/list_store.c", "list_store_lock: fd < 0", "what is not open cannot be locked: the check after it"),
    NoCheck("client/lists.c", "ignored: enum sticps_err code = from_state", "the state was read whole before: no memory"),
    NoCheck("common/jws.c", "jws_input: ignored: enum sticps_err rc = hash", "OpenSSL itself fails"),
    NoCheck("common/json_doc.c", "len > INT32_MAX", "nobody reads as much"),
    NoCheck("client/list_json.c", "ignored: enum sticps_err code = json_doc_take", "then there is no document, which has no format"),
    NoCheck("client/state_file.c", "state_file_read: fd < 0", "what is not open is no regular file: only the message"),
    NoCheck("client/state_file.c", "state_file_read: n <= 0", "a file that is cut while it is read; ours are renamed"),
    NoCheck("client/state_file.c", "state_file_write: fd < 0", "what is not open cannot be written: only the message"),
    NoCheck("client/list_source.c", "ask_for_chain: now >= fetch->deadline", "the request would end by the same deadline"),
    NoCheck("client/list_source.c", "choose_bytes: answer->status == 304", "only the message"),
    NoCheck("client/list_source.c", "begin: ignored: enum sticps_err code = lists_read", "read again under the lock, and refused there"),
    NoCheck("client/fetch_handle.c", "purpose != CURLSOCKTYPE_IPCXN", "libcurl asks for no other kind here"),
    NoCheck("client/fetch_handle.c", "add_header: ", "no memory"),
    NoCheck("client/fetch_handle.c", "set_headers: ", "no memory"),
    NoCheck("client/fetch_handle.c", "load_tls_roots: ", "no memory"),
    NoCheck("client/fetch.c", "the client is being closed", "the end of a client, no check of what came"),
]
