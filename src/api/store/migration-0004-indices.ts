/**
 * Version 3 to 4: indices for what a large installation asks again and again. Without them a filter on the audit log, and
 * each round of housekeeping, read whole tables.
 */
export function indices(): readonly string[] {
  return [
    "drop index audit_events_tenant",
    "create index audit_events_time on audit_events (tenant, time, id)",
    "create index audit_events_event on audit_events (tenant, event, time, id)",
    "create index audit_events_actor on audit_events (tenant, actor, time, id) where actor is not null",
    "create index audit_events_object on audit_events (tenant, object_id, time, id) where object_id is not null",
    "create index device_tokens_ended on device_tokens (ended_at) where ended_at is not null",
    "create index device_tokens_good_until on device_tokens (good_until) where good_until is not null",
    "create index device_tokens_expiry on device_tokens (expires_at) where expires_at is not null",
    "create index pairing_codes_expiry on pairing_codes (state, expires_at)",
    "create index pairing_codes_listing on pairing_codes (tenant, created_at)",
    "create index api_keys_tenant on api_keys (tenant, created_at)",
  ];
}
