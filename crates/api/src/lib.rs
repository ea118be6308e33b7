//! HTTP: one file per resource; live queries; authentication; problem answers.
