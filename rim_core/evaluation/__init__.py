"""How good scores and assignments are: both rankings, relevance, perplexity, the model comparison."""

from rim_core.evaluation.comparison import compare
from rim_core.evaluation.metrics import Evaluation, evaluate, perplexity
from rim_core.evaluation.ranking import item_rec, user_rec

__all__ = ["Evaluation", "compare", "evaluate", "item_rec", "perplexity", "user_rec"]
