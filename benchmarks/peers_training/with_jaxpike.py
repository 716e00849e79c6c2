"""jaxpike (JAX, Equinox)."""

from protocol import BETA, RATE, measure_jax


def make(row):
    """(learn, forward) of a row."""
    import equinox
    import jax
    import jax.numpy as jnp
    import jaxpike
    import numpy as np
    import optax
    from jaxpike.training import make_step

    tau = -1 / np.log(BETA)
    gain = 1 / (1 - BETA) / np.sqrt(3)  # its neurons scale what arrives by 1 - BETA
    keys = iter(jax.random.split(jax.random.PRNGKey(0), 6))

    def dense(a, b):
        return jaxpike.Dense(a, b, key=next(keys), gain=gain)

    def convolution(a, b):
        return jaxpike.Conv2d(a, b, 5, key=next(keys), padding="VALID", gain=gain)

    def unit():
        return jaxpike.LIF(tau=tau, surrogate=jaxpike.ATan(2.0))

    out = jaxpike.LeakyIntegrator(tau=tau)
    if row.net == "mlp":
        net = jaxpike.Sequential(dense(784, 400), unit(), dense(400, 10), out)
    elif row.net == "conv":
        parts = [convolution(1, 32), unit(), jaxpike.Pool2d(2), convolution(32, 64), unit(), jaxpike.Pool2d(2)]
        net = jaxpike.Sequential(*parts, jaxpike.Flatten(), dense(1024, 1024), unit(), dense(1024, 10), out)
    else:
        nodes = {"first": dense(28, 256), "hidden": unit(), "own": dense(256, 256), "last": dense(256, 10), "out": out}
        edges = [("input", "first"), ("first", "hidden"), ("hidden", "own"), ("own", "hidden"), ("hidden", "last")]
        net = jaxpike.Graph(nodes=nodes, edges=[*edges, ("last", "out")], output="out")

    def scores(net, x):
        if row.net == "conv":
            x = x.reshape(-1, 28, 28, 1)
        if not row.varies:
            x = jnp.broadcast_to(x, (row.steps, *x.shape))
        return jaxpike.unroll(net, x)[0].mean(0)

    optimizer = optax.adam(RATE)
    state = [net, optimizer.init(equinox.filter(net, equinox.is_inexact_array))]
    step = make_step(lambda net, x, y: (jaxpike.cross_entropy(scores(net, x), y), 0.0), optimizer)
    alone = equinox.filter_jit(scores)

    def learn(x, y):
        state[0], state[1], value, _ = step(state[0], state[1], jnp.asarray(x), jnp.asarray(y))
        return float(value)

    return learn, lambda x: np.asarray(alone(state[0], jnp.asarray(x)))


measure_jax("jaxpike", make)
