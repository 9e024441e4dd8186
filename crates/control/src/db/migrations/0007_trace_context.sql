-- The trace of the request that began an operation, which goes on in whatever process runs it: `traceparent` of W3C Trace
-- Context, and after a blank its `tracestate` if there is one. None where nobody took traces, and for scheduled operations.

ALTER TABLE operation ADD COLUMN trace_context TEXT;
