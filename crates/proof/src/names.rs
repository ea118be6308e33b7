//! Every place and every fault, with the names that the environment has for them.

/// An enum whose variants have names of their own, and are all known.
macro_rules! named {
    ($(#[$of_all:meta])* $name:ident { $($(#[$of_one:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$of_all])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$of_one])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$variant),*];

            /// What the environment calls it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

named! {
    /// A place where a process can be made to die.
    Point {
        /// A command has been decided and encoded; its events are not with the log yet.
        BeforeAppend = "append.before",
        /// The log has said that a command's events are there; nobody else knows.
        AfterAppend = "append.after",
        /// An event of a command stands in a transaction that is not committed, and another one has to follow.
        BetweenEvents = "events.between",
        /// A group of appends is in the log's transaction, which is not committed.
        BeforeCommit = "commit.before",
        /// A group of appends is committed; nobody who waits has been told.
        AfterCommit = "commit.after",
        /// A batch of events has been applied in memory, and nothing of it is written.
        BeforeCheckpoint = "checkpoint.before",
        /// Between the parts of a write that a planted fault has torn apart.
        WithinCheckpoint = "checkpoint.within",
        /// Rows and checkpoint are committed; nobody has been told.
        AfterCheckpoint = "checkpoint.after",
        /// The bus is about to be rung.
        BeforePublish = "publish.before",
        /// The bus has been rung.
        AfterPublish = "publish.after",
        /// An attempt at a reply is claimed, and the model not asked.
        BeforeModelCall = "model_call.before",
        /// The model has said its last word, and the reply has no end in the log.
        AfterModelCall = "model_call.after",
        /// A draft of a running reply has been written.
        DraftWritten = "draft.written",
        /// A person's key has been written, and nothing sealed with it.
        KeyWritten = "key.written",
        /// The answer to a command is ready, and not sent.
        BeforeAnswer = "answer.before",
    }
}

named! {
    /// A fault that can be planted. Each breaks one promise; the trials of faults must find it.
    Mutant {
        /// Commands are answered before their events are committed.
        AnsweredBeforeCommit = "answered_before_commit",
        /// The log's commits are not forced to the disk.
        LogNotSynced = "log_not_synced",
        /// Each event is committed for itself, not all of a command together.
        EventsCommittedOneByOne = "events_committed_one_by_one",
        /// Appends are taken whatever revision they expect, and commands of one stream do not wait for each other.
        RevisionsUnchecked = "revisions_unchecked",
        /// Now and then a byte of an old event is changed.
        PastRewritten = "past_rewritten",
        /// Followers of the log miss an event now and then.
        FollowersSkip = "followers_skip",
        /// The checkpoint is committed before the rows.
        CheckpointBeforeRows = "checkpoint_before_rows",
        /// The rows are committed before the checkpoint.
        CheckpointAfterRows = "checkpoint_after_rows",
        /// What rows become depends on which events came together.
        RowsDependOnBatches = "rows_depend_on_batches",
        /// One event is not applied: that at the place which `PROOF_POSITION` says.
        EventDropped = "event_dropped",
        /// That event is applied twice.
        EventDoubled = "event_doubled",
        /// That event is applied after the one that follows it.
        EventsSwapped = "events_swapped",
        /// An event that can't be applied is left out without a word.
        UnreadableSkipped = "unreadable_skipped",
        /// The later events of a parked stream are applied.
        ParkedApplied = "parked_applied",
        /// A live query that moves leaves out a change now and then.
        ChangesLeftOut = "changes_left_out",
        /// The bus loses messages, and nobody looks by themselves.
        NewsLost = "news_lost",
        /// A read does not wait for the position that it was asked for.
        MinPositionIgnored = "min_position_ignored",
        /// Commands are not remembered beyond the process that did them.
        RepeatsForgotten = "repeats_forgotten",
        /// A reply that has ended can end again.
        EndsRepeated = "ends_repeated",
        /// Pieces of a reply carry another text than the reply.
        PiecesGarbled = "pieces_garbled",
        /// What people say is written into the program's log.
        WordsLogged = "words_logged",
        /// The process ends the moment it is asked to.
        EndsAtOnce = "ends_at_once",
        /// Read models are taken whatever log they were made from.
        CheckpointUncompared = "checkpoint_uncompared",
        /// An owner of the read models goes on when another one has followed it, under whatever fence there is.
        FenceIgnored = "fence_ignored",
        /// A model is asked for a reply whatever the log says to the claim.
        ClaimsIgnored = "claims_ignored",
        /// What a command makes is named for its key alone, whoever's it is.
        KeysUnscoped = "keys_unscoped",
        /// Bodies, answers and events take as much memory as they like.
        RoomUnbounded = "room_unbounded",
        /// Read models that can't be reached are read as if there were nothing in them.
        AwayIsEmpty = "away_is_empty",
        /// Read models that are being filled are shown as if everything were in them.
        PartsShown = "parts_shown",
        /// An event of an older version is not known any more.
        OldVersionsForgotten = "old_versions_forgotten",
    }
}
