-- API keys of the write service. The key itself stands nowhere: of 256 random bits a bare SHA-256 gives nothing away, so it
-- needs neither salt nor stretching. Rows stay when a key is revoked, for who reads what its holder did.
create table api_keys (
    id           text collate "C" primary key check (id ~ '^[0-9a-f]{12}$'),
    name         text not null,
    hash         bytea not null unique check (length(hash) = 32),
    scopes       text[] not null check (cardinality(scopes) > 0),
    created_at   timestamptz not null,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);

-- The order in which they are listed.
create index api_keys_newest on api_keys (created_at, id);
