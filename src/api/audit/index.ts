/** The audit log: its rows in the database, its lines on a stream, and the route by which administrators read it. */
export { type AuditStream, type AuditStreamOptions, openAuditStream } from "./audit-stream.ts";
export { type AuditLogDeps, type AuditLogLimits, DatabaseAuditLog } from "./database-audit-log.ts";
export { EventLimit } from "./event-limit.ts";
export { httpAudit } from "./http-audit.ts";
export { quietLog } from "./quiet-log.ts";
export { auditRoutes } from "./routes.ts";
