"""Which value of a metric is the best, by the metric's name. It imports no torch."""

SMALLEST_IS_BEST = ("loss", "mlm_loss", "nsp_loss", "sop_loss", "perplexity", "mse")
NONE_IS_BEST = (
    *("random_pairs", "swapped_pairs"),
    *("best_exact_match_threshold", "best_f1_threshold"),
)
LARGEST_IS_BEST = (
    *("accuracy", "mlm_accuracy", "nsp_accuracy", "sop_accuracy", "no_answer_accuracy"),
    *("f1", "f1_micro", "f1_macro", "precision", "recall", "has_answer_f1", "best_f1"),
    *("exact_match", "has_answer_exact_match", "best_exact_match"),
    *("matthews_correlation", "pearson", "spearman"),
    *("recall@1", "recall@5", "recall@10", "mrr"),
)
