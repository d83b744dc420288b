import type { DatabaseKind } from "./store.ts";

/** Version 0 to 1: all tables of `schema.ts`. */
export function firstTables(kind: DatabaseKind): readonly string[] {
  // Texts sort by bytes in both, whatever locale a PostgreSQL cluster has.
  const text = kind === "postgres" ? 'text collate "C"' : "text";
  const serial =
    kind === "postgres"
      ? "bigint generated always as identity primary key"
      : "integer primary key autoincrement";
  const tenant = `tenant ${text} not null references tenants (id)`;
  return [
    `create table tenants (
      id ${text} primary key check (id <> ''),
      created_at bigint not null,
      disabled_at bigint
    )`,
    `create table users (
      id ${text} primary key,
      iss ${text} not null,
      sub ${text} not null,
      ${tenant},
      role ${text} not null check (role in ('member', 'admin')),
      email ${text},
      name ${text},
      created_at bigint not null,
      last_sign_in_at bigint not null,
      disabled_at bigint,
      unique (iss, sub)
    )`,
    "create index users_tenant on users (tenant, id)",
    `create table login_sessions (
      key ${text} primary key,
      public_id ${text} not null unique,
      ${tenant},
      user_id ${text} not null references users (id) on delete cascade,
      iss ${text} not null,
      sub ${text} not null,
      idp_sid ${text},
      created_at bigint not null,
      last_seen_at bigint not null,
      absolute_expires_at bigint not null,
      auth_time bigint not null,
      acr ${text},
      amr ${text} not null,
      user_agent ${text},
      ip ${text},
      sealed_tokens ${text}
    )`,
    "create index login_sessions_user on login_sessions (user_id, created_at)",
    "create index login_sessions_idp_sid on login_sessions (iss, idp_sid)",
    "create index login_sessions_subject on login_sessions (iss, sub)",
    `create table pending_sign_ins (
      browser_key ${text} not null,
      state_digest ${text} not null,
      sealed ${text} not null,
      created_at bigint not null,
      expires_at bigint not null,
      primary key (browser_key, state_digest)
    )`,
    "create index pending_sign_ins_expiry on pending_sign_ins (expires_at)",
    `create table logout_tokens (
      iss ${text} not null,
      jti ${text} not null,
      expires_at bigint not null,
      primary key (iss, jti)
    )`,
    `create table logout_tombstones (
      iss ${text} not null,
      sid ${text} not null,
      expires_at bigint not null,
      primary key (iss, sid)
    )`,
    `create table devices (
      id ${text} primary key,
      ${tenant},
      owner_id ${text} not null references users (id),
      name ${text} not null,
      tags ${text} not null,
      model ${text},
      serial ${text},
      agent_version ${text},
      state ${text} not null check (state in ('pending', 'active')),
      created_at bigint not null,
      activate_by bigint,
      first_connected_at bigint,
      last_seen_at bigint,
      last_remote_addr ${text},
      last_close_reason ${text}
    )`,
    "create index devices_tenant on devices (tenant, id)",
    "create index devices_owner on devices (owner_id)",
    "create index devices_activate_by on devices (activate_by) where activate_by is not null",
    `create table device_tokens (
      ref ${text} primary key,
      digest ${text} not null,
      ${tenant},
      device_id ${text} not null references devices (id) on delete cascade,
      generation bigint not null,
      created_at bigint not null,
      expires_at bigint,
      good_until bigint,
      last_used_at bigint,
      ended_at bigint,
      unique (device_id, generation)
    )`,
    `create table pairing_codes (
      id ${text} primary key,
      digest ${text} not null unique,
      prefix ${text} not null,
      ${tenant},
      creator_id ${text} not null references users (id),
      state ${text} not null check (state in ('unused', 'used', 'cancelled', 'expired')),
      created_at bigint not null,
      expires_at bigint not null,
      used_at bigint,
      device_id ${text}
    )`,
    "create index pairing_codes_tenant on pairing_codes (tenant, state, created_at)",
    `create table enrolment_keys (
      ref ${text} primary key,
      digest ${text} not null,
      ${tenant},
      creator_id ${text} not null references users (id),
      name ${text} not null,
      tags ${text} not null,
      uses bigint not null,
      uses_max bigint not null,
      created_at bigint not null,
      expires_at bigint not null,
      revoked_at bigint,
      check (uses <= uses_max)
    )`,
    "create index enrolment_keys_tenant on enrolment_keys (tenant, created_at)",
    `create table api_keys (
      ref ${text} primary key,
      digest ${text} not null,
      ${tenant},
      owner_id ${text} not null references users (id),
      name ${text} not null,
      scopes ${text} not null,
      devices ${text},
      requests_per_minute bigint,
      created_at bigint not null,
      expires_at bigint not null,
      revoked_at bigint,
      last_used_at bigint,
      last_used_ip ${text}
    )`,
    "create index api_keys_owner on api_keys (owner_id, created_at)",
    `create table audit_events (
      id ${serial},
      time bigint not null,
      tenant ${text},
      event ${text} not null,
      request_id ${text},
      actor ${text},
      object_id ${text},
      ip ${text},
      user_agent ${text},
      session_ref ${text},
      detail ${text}
    )`,
    "create index audit_events_tenant on audit_events (tenant, id)",
    ...appendOnly(kind),
    `create table machine_clients (
      iss ${text} not null,
      client_id ${text} not null,
      ${tenant},
      name ${text} not null,
      scopes ${text} not null,
      created_at bigint not null,
      disabled_at bigint,
      primary key (iss, client_id)
    )`,
  ];
}

/** The database itself refuses to change or remove an audit event. */
function appendOnly(kind: DatabaseKind): readonly string[] {
  if (kind === "postgres") {
    return [
      `create function hawser_append_only() returns trigger language plpgsql as
        $$ begin raise exception 'audit events are append-only'; end $$`,
      `create trigger audit_events_append_only before update or delete on audit_events
        for each row execute function hawser_append_only()`,
    ];
  }
  return ["update", "delete"].map(
    (change) => `create trigger audit_events_no_${change} before ${change} on audit_events
      begin select raise(abort, 'audit events are append-only'); end`,
  );
}
