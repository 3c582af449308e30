-- Accounts: the service providers that the STI-PA has approved, and the people who sign in.
--
-- Conventions of this folder. A file is one migration, applied once, in order, inside one transaction; a
-- file that has been released is never edited, a later one changes what it made. Every REST request is
-- one call of one function here, so it is one transaction: it looks at the caller's session, role and
-- ownership, changes the row, writes the audit row and tells the publisher. Handlers only translate.

-- What every request function returns. `outcome` is a stable name that the handlers map to an HTTP status
-- (server/registry/api.c); `body` is the whole success body; `version` is the entry's, for the ETag.
--
-- What runs in every request is written in plpgsql also where plain SQL would do: plpgsql keeps its plans
-- for the life of a connection, a SQL function is planned again in every transaction.
CREATE TYPE reply AS (outcome text, detail text, body json, version bigint);

CREATE TABLE account (
    sp         text COLLATE "C" PRIMARY KEY CHECK (sp ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    state      text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- A user of the STI-PA has no account; a user of a service provider has exactly one. The password is a
-- scrypt string made by server/registry/password.c, never the password itself.
CREATE TABLE account_user (
    user_id    text COLLATE "C" PRIMARY KEY CHECK (user_id ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'),
    role       text NOT NULL CHECK (role IN ('pa-admin', 'pa-auditor', 'sp-admin', 'sp-viewer')),
    sp         text COLLATE "C" REFERENCES account,
    password   text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((role IN ('sp-admin', 'sp-viewer')) = (sp IS NOT NULL))
);
CREATE INDEX account_user_sp ON account_user (sp);

-- RFC 3339 in UTC with milliseconds.
CREATE FUNCTION rfc3339(t timestamptz) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
$$;

CREATE FUNCTION reply_error(p_outcome text, p_detail text) RETURNS reply LANGUAGE sql IMMUTABLE AS $$
    SELECT p_outcome, p_detail, NULL::json, NULL::bigint
$$;
