//! RecordIO, HTTP heads and libprocess message framing as parsers without I/O.
