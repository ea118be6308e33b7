//! What may be asked and the rules: one file per aggregate, one handler.
