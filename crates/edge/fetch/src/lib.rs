//! The fetcher: file, http, https, ftp; extraction of archives without escape.
