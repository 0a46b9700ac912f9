//! Every flag of every program, defined once; parser, help, man page, completion.
