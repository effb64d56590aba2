import pytest

from medtrain import config
from medtrain.errors import ConfigError


def test_layers_are_laid_over_one_another_in_order(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("optim: {learning_rate: 0.5, momentum: 0.8}\ntrain: {epochs: 3}\n")
    found = config.resolve(
        "glaucoma",
        file=file,
        sets=["optim.momentum=0.7", "train.epochs=4"],
        flags={"train.epochs": 5, "train.threads": None},
    )
    assert found.optim.name == "adamw"  # the recipe's
    assert found.optim.learning_rate == 0.5  # the file's
    assert found.optim.momentum == 0.7  # --set's
    assert found.train.epochs == 5  # the flag's
    assert found.recipe == "glaucoma"


def test_glaucoma_recipe_holds_the_study_values():
    found = config.resolve("glaucoma")
    assert (found.model.name, found.seed, found.train.epochs) == ("medical_cnn", 42, 10)
    assert (found.optim.learning_rate, found.optim.weight_decay) == (1e-3, 1e-4)
    assert (found.augment.rotation, found.augment.hue) == (15.0, 0.05)


def test_unknown_key_is_refused_with_a_suggestion(tmp_path):
    file = tmp_path / "train.yaml"
    file.write_text("optim: {leraning_rate: 0.1}\n")
    with pytest.raises(ConfigError) as caught:
        config.resolve("classify", file=file)
    assert str(caught.value) == (
        f"config {file}: unknown key 'optim.leraning_rate'; did you mean 'optim.learning_rate'?"
    )
    assert caught.value.exit_code == 2


def test_unknown_key_that_resembles_none_names_those_of_its_section():
    with pytest.raises(ConfigError, match=r"unknown key 'optim.lr'; known: optim.name, optim.le"):
        config.resolve("classify", sets=["optim.lr=1"])


def test_unknown_recipe_is_refused_with_a_suggestion():
    with pytest.raises(ConfigError, match="unknown recipe 'glucoma'; did you mean 'glaucoma'"):
        config.resolve("glucoma")


def test_exponents_without_a_dot_are_numbers():
    assert config.resolve(sets=["optim.learning_rate=1e-3"]).optim.learning_rate == 1e-3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train.epochs=1.5", "train.epochs must be of type int, got 1.5"),
        ("train.epochs=true", "train.epochs must be of type int, got True"),
        ("train.epochs=0", "train.epochs must be >= 1, got 0"),
        ("data.augment=maybe", "data.augment must be of type bool, got 'maybe'"),
        ("optim.learning_rate=fast", "optim.learning_rate must be of type float, got 'fast'"),
        ("optim.learning_rate=.nan", "optim.learning_rate must be > 0, got nan"),
        (
            "model.norm=bach",
            "must be one of batch, group, frozen, got 'bach'; did you mean 'batch'",
        ),
        ("model.dropout=1.0", r"model.dropout must be in \[0, 1\), got 1.0"),
        ("train.precision=fp8", "must be one of auto, fp32, bf16, fp16, got 'fp8'"),
        (
            "pipeline.schedule=1f1",
            "must be one of gpipe, 1f1b, naive, alternating, got '1f1'; did you mean",
        ),
        ("pipeline.micro_batches=0", "pipeline.micro_batches must be >= 1, got 0"),
        ("epochs", "expected KEY=VALUE"),
        ("data.batch_size=1", "one sample has no batch statistics"),
    ],
)
def test_wrong_values_are_refused_by_name(text, message):
    with pytest.raises(ConfigError, match=message):
        config.resolve(sets=[text])


def test_saved_configuration_reads_back_the_same(tmp_path):
    found = config.resolve("glaucoma", sets=["model.dropout=0.1", "metrics.positive_class=1"])
    found.save(tmp_path / "config.yaml")
    assert config.resolve(file=tmp_path / "config.yaml") == found
    assert found.metrics.positive_class == "1"


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (
            ["model.sync_bn=true", "model.norm=group"],
            "no batch normalisation with model.norm=group",
        ),
        (["ddp.static_graph=true", "train.accumulate=2"], "needs train.accumulate=1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(sets, message):
    with pytest.raises(ConfigError, match=message):
        config.resolve("classify", sets=sets)


def test_mapping_of_classes_is_set_key_by_key_and_survives_its_file(tmp_path):
    found = config.resolve("classify", sets=["augment.class_strength.glaucoma=2"])
    assert found.augment.class_strength == {"glaucoma": 2.0}
    found.save(tmp_path / "config.yaml")
    assert config.resolve(file=tmp_path / "config.yaml") == found
    with pytest.raises(ConfigError, match=r"unknown key 'augment\.hue\.glaucoma'"):
        config.resolve("classify", sets=["augment.hue.glaucoma=2"])
    with pytest.raises(ConfigError, match=r"class_strength\.glaucoma must be in"):
        config.resolve("classify", sets=["augment.class_strength.glaucoma=-1"])


@pytest.mark.parametrize("text", ["train.ema_decay=1", "train.label_smoothing=-0.1"])
def test_shares_are_below_one(text):
    with pytest.raises(ConfigError, match=r"must be in \[0, 1\)"):
        config.resolve("classify", sets=[text])
