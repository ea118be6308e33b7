//! The read models, the runner that fills them, and the side store.
