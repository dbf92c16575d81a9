//! The deliberate weakenings of the rules, each of which must break a property.

/// One rule left out or turned round. The names are those under which the failures are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutation {
    /// `Catalog-As-Of` is read after the entry.
    AsOfLate,
    /// A fill is kept near without a second look.
    NoRecheck,
    /// Entries are admitted whatever their R.
    NoR,
    /// Entries of R equal to the start are admitted.
    GeStart,
    /// R is read after the query.
    RAfter,
    /// R is read on one server, the query runs on the next.
    ROtherConn,
    /// An event at the very R of an entry counts as included.
    Le,
    /// *t* and *h* are read after the rows.
    TAfter,
    /// *h* is read after the rows.
    HAfter,
    /// A log that has reached the token's position, not passed it, meets the token.
    TokLe,
    /// The token's position is read in the writing statement.
    TokInStmt,
    /// The log is asked about the token after the entry was looked at.
    TokLate,
    /// The token of a server that has made no epoch yet carries the old epoch.
    TokOldEpoch,
    /// The R of a cached entry meets a token.
    TokByCachedR,
    /// The R of a primary equal to the token meets it, also for those who join the flight.
    TokPrimaryGe,
    /// The relay publishes without expecting a sequence.
    NoFence,
    /// After a refused publish, the rest of the pipeline still comes in.
    NoLink,
    /// The same, and nobody would see the gap.
    NoLinkNoChain,
    /// A message is taken whatever its predecessor.
    NoChain,
    /// The relay learns the expected sequence after the rows.
    ExpLate,
    /// Rows that the stream already holds are sent again.
    NoSkip,
    /// Events are stamped with a position read before the rows.
    PositionEarly,
    /// What a node has answered does not raise its floor.
    NoRFloor,
    /// Entries in Redis say no epoch.
    RedisNoEpoch,
    /// A fill counts as of the node's epoch.
    FillNoEpoch,
    /// A promoted server goes on in the old epoch.
    NoMint,
    /// The stream is not compared with the mark.
    NoTrunc,
    /// The number of an epoch is a counter, without the clock.
    Counter,
    /// The stream is believed to hold what it holds under the same product and version.
    MsgId,
    /// The floor is not looked at.
    NoFloor,
    /// A reader with a token joins any flight.
    JoinAny,
    /// `Catalog-As-Of` is that of the last heartbeat, also of one heard again.
    AsOfBack,
    /// The near entry is refreshed before the floor is raised.
    EntryFirst,
    /// A caller is answered before the entry is near.
    AnswerFirst,
    /// The relay publishes behind a turn that it finds in the stream before it settles that.
    SlowSettle,
    /// What came with the furthest turn is forgotten like everything else.
    ForgetFurthest,
    /// After a gap, what came with the furthest turn is forgotten like everything else.
    ForgetDoubted,
    /// Messages name their predecessor by its id alone.
    LinkById,
    /// A leader begins an epoch on the server that its session leads to, however long ago it was opened.
    StaleSession,
    /// The primary calls a token forged by the number of its epoch, also before it has made one.
    JudgeAnyEpoch,
    /// A gap in the stream leaves the near cache as it is.
    NoGap,
}
