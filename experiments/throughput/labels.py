"""Names of figures in the JSON files, shared by the programs that measure and the tables."""

ONE_CORE, FIRST_STEP = "prepare on one core, known vocabulary", "seconds to the first step"
EMBEDDING, ATTENTION, FEED_FORWARD = "embedding", "attention", "feed-forward"
REST_OF_BLOCK, HEADS, OPTIMIZER = "norms, dropout, residuals", "heads and loss", "optimizer"
PARTS = (EMBEDDING, ATTENTION, FEED_FORWARD, REST_OF_BLOCK, HEADS, OPTIMIZER)
PLAIN, DATA, COMMAND = "a step without the profiler", "its data", "a step of the command"
