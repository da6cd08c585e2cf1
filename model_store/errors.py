"""The errors of the model store; every one derives from `ModelStoreError`."""

from __future__ import annotations


class ModelStoreError(Exception):
    """Base of all errors that the model store raises."""


class UnknownModelError(ModelStoreError):
    """No model version or alias of that name is in the store."""


class RetiredModelError(ModelStoreError):
    """A model version was retired: it is there for replay, and takes no new work."""


class ModelAwayError(ModelStoreError):
    """A registered model version's files cannot be reached at the moment; try again later."""


class ModelIntegrityError(ModelStoreError):
    """A file of a model version is missing or its bytes are not the ones that were released."""


class ManifestError(ModelStoreError):
    """A manifest is malformed or contradicts the files beside it."""


class ContentError(ModelStoreError):
    """The files of a model version cannot be read, written or fetched; the message says why."""


class VersionTakenError(ContentError):
    """A name and version are known with other bytes; neither is ever used again."""


class BehaviourError(ManifestError):
    """A network does something else than its manifest says."""


class EngineError(ModelStoreError):
    """An engine could not be built, or failed while it ran."""


class GraphError(EngineError):
    """An ONNX graph is not of the kind that an engine is given; the message says where."""


class EngineUnavailableError(EngineError):
    """The asked-for engine cannot run on this machine; the message says what is missing."""


class RecipeError(ModelStoreError):
    """A training recipe is malformed, or names data or weights that are not there."""


class TrainingDivergedError(ModelStoreError):
    """A loss became NaN or infinite; the last good checkpoint was kept."""


class DataError(ModelStoreError):
    """Training or evaluation data is missing or unreadable."""


class ExportError(ModelStoreError):
    """A checkpoint could not be exported, or the export differs from its source."""


class TrustError(ModelStoreError):
    """A model version is not one that may be used here, or a key or signature is unusable."""


class UnsignedError(TrustError):
    """A model version has no signature."""


class UnknownKeyError(TrustError):
    """A model version is signed by a key that is not trusted here."""


class RevokedKeyError(TrustError):
    """A model version is signed by a key whose trust was withdrawn."""


class SignatureError(TrustError):
    """A signature is malformed, or not one of the manifest beside it: something was changed."""


class QuarantinedError(TrustError):
    """A model version was found changed before; a person has to verify it again."""
