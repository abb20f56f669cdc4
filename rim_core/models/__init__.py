"""Models: preferences p(y|x), intensities λ(x), their products (eq. 5) and affinities λ(x, y)."""

from rim_core.models.affinity.als import ALS
from rim_core.models.affinity.boosted import RFMGBDT, BoostedCounts, HorizonCounts
from rim_core.models.affinity.bpr import BPR
from rim_core.models.affinity.frequency import Frequency
from rim_core.models.affinity.graph_conv import GraphConv, GraphConvExtra
from rim_core.models.affinity.lightfm import LightFMBPRItem, LightFMBPRUser
from rim_core.models.affinity.logistic_mf import LogisticMF
from rim_core.models.affinity.new_items import NewItems
from rim_core.models.affinity.popularity import Popularity
from rim_core.models.affinity.random import Random
from rim_core.models.artifacts import artifact_id, load_model, model_card, read_config, save_model
from rim_core.models.base import Intensity, Model, Preference, Progress
from rim_core.models.intensity.activity import Activity
from rim_core.models.intensity.boosted_hawkes import BoostedHawkes
from rim_core.models.intensity.ema import EMA
from rim_core.models.intensity.hawkes import Hawkes
from rim_core.models.intensity.hawkes_poisson import HawkesPoisson
from rim_core.models.intensity.negative_binomial import HawkesNegativeBinomial
from rim_core.models.intensity.neural_point_process import NeuralPointProcess
from rim_core.models.preference.gru import GRU
from rim_core.models.preference.horizon_blend import HorizonBlend
from rim_core.models.preference.horizon_gru import HorizonGRU
from rim_core.models.preference.horizon_transformer import HorizonTransformer
from rim_core.models.preference.transformer import Transformer
from rim_core.models.rim import RIM

__all__ = [
    "ALS",
    "BPR",
    "EMA",
    "GRU",
    "RFMGBDT",
    "RIM",
    "Activity",
    "BoostedCounts",
    "BoostedHawkes",
    "Frequency",
    "GraphConv",
    "GraphConvExtra",
    "Hawkes",
    "HawkesNegativeBinomial",
    "HawkesPoisson",
    "HorizonBlend",
    "HorizonCounts",
    "HorizonGRU",
    "HorizonTransformer",
    "Intensity",
    "LightFMBPRItem",
    "LightFMBPRUser",
    "LogisticMF",
    "Model",
    "NeuralPointProcess",
    "NewItems",
    "Popularity",
    "Preference",
    "Progress",
    "Random",
    "Transformer",
    "artifact_id",
    "load_model",
    "model_card",
    "read_config",
    "save_model",
]
