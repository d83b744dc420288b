/** Version 4 to 5: a paired device may wait for a person to approve it. Those that there are do not. */
export function approval(): readonly string[] {
  return ["alter table devices add column awaits_approval integer not null default 0"];
}
