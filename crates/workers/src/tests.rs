//! The workers over a log in memory, real read models in a directory of their own, and a model that
//! does as it is told. Nobody here waits by the clock but for the workers' own times, which are short.

mod erasures;
mod replies;
mod scripted_model;
mod titles;
mod world;
