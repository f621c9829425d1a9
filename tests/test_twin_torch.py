"""Training loops in PyTorch and their twins; skipped where PyTorch is not installed."""

import jax.numpy as jnp
import numpy as np
import pytest

import mfsym as mf
from mfsym.problem.losses import losses
from mfsym.twin.losses import read_loss
from mfsym.twin.network import BIAS, INNER, OFFSET, OUTER, read_network
from mfsym.twin.rules import read_rule

torch = pytest.importorskip("torch")
nn, DIM, WIDTH = torch.nn, 6, 64


def net(activation=None, bias=True):
    torch.manual_seed(0)
    activation = nn.GELU() if activation is None else activation
    return nn.Sequential(nn.Linear(DIM, WIDTH, bias=bias), activation, nn.Linear(WIDTH, 1, bias=bias)).double()


def rule_of(optimiser, model):
    return read_rule(optimiser, read_network(model, None), 10)


@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(),
        nn.LeakyReLU(0.1),
        nn.GELU(),
        nn.GELU("tanh"),
        nn.SiLU(),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.Softplus(2.0),
        nn.ELU(0.5),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_sequential_is_its_network(activation, bias):
    model = net(activation, bias)
    network, x = read_network(model, None), np.random.default_rng(0).standard_normal((16, DIM))
    before = x @ network.inner.T + (network.bias if bias else 0)
    values = np.asarray(network.unit.activation(jnp.asarray(before))) @ network.outer + (network.offset or 0)
    np.testing.assert_allclose(values, model(torch.tensor(x))[:, 0].detach().numpy(), rtol=1e-9, atol=1e-9)


def test_the_groups_of_sgd_are_rates_of_layers():
    model = net()
    groups = [{"params": model[0].parameters(), "lr": 3.0, "weight_decay": 0.1}, {"params": model[2].parameters()}]
    rule = rule_of(torch.optim.SGD(groups, lr=0.5, momentum=0.9), model)
    assert rule.rates == {INNER: 3.0, BIAS: 3.0, OUTER: 0.5, OFFSET: 0.5} and rule.momentum == 0.9
    assert rule.decays == {INNER: 0.1, BIAS: 0.1, OUTER: 0.0, OFFSET: 0.0}


def test_losses_of_torch():
    assert [read_loss(loss, 8).factor for loss in (nn.MSELoss(), nn.MSELoss(reduction="sum"), nn.HuberLoss())] == [2, 16, 1]
    assert isinstance(read_loss(nn.SoftMarginLoss(), 8).loss, mf.Logistic)
    prediction, value = torch.tensor([0.3, -2.0]), torch.tensor([0.2, 1.0])
    entropy = nn.BCEWithLogitsLoss(reduction="none")
    ours = losses(read_loss(entropy, 8).loss, jnp.asarray(prediction.numpy()), jnp.asarray(value.numpy()))
    np.testing.assert_allclose(ours, entropy(prediction, value).numpy(), rtol=1e-6)
    with pytest.raises(mf.ArgumentError, match="but is L1Loss"):
        read_loss(nn.L1Loss(), 8)


def test_loops_without_twin():
    model = net()
    with pytest.raises(mf.NoTwinError, match="does not commute"):
        rule_of(torch.optim.Adam(model.parameters()), model)
    with pytest.raises(mf.NoTwinError, match="only the heavy ball"):
        rule_of(torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True), model)
    refused = {
        "dropout": nn.Sequential(nn.Linear(DIM, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1)),
        "normalises": nn.Sequential(nn.Linear(DIM, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 1)),
        "more than one hidden layer": nn.Sequential(
            nn.Linear(DIM, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1)
        ),
    }
    for words, layers in refused.items():
        with pytest.raises(mf.NoTwinError, match=words):
            read_network(layers, None)
    with pytest.raises(mf.ArgumentError, match="Linear, an activation, Linear"):
        read_network(nn.Sequential(nn.Linear(DIM, 1)), None)
