"""Spyx (JAX, Flax NNX): a scan over time in one compiled step."""

from protocol import BETA, RATE, measure_jax


def make(row):
    """(learn, forward) of a row."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from flax import nnx
    from spyx import axn, nn

    random, act = nnx.Rngs(0), axn.arctan(2)
    begin = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

    def dense(a, b):
        return nnx.Linear(a, b, kernel_init=begin, rngs=random)

    def unit(*shape):
        return nn.LIF(shape, beta=BETA, activation=act, rngs=random)

    def pool(x):
        return nnx.avg_pool(x, (2, 2), strides=(2, 2))

    if row.net == "mlp":
        parts = [dense(784, 400), unit(400), dense(400, 10)]
    elif row.net == "conv":

        def convolution(a, b):
            return nnx.Conv(a, b, (5, 5), padding="VALID", kernel_init=begin, rngs=random)

        parts = [convolution(1, 32), unit(24, 24, 32), pool, convolution(32, 64), unit(8, 8, 64), pool]
        parts += [nn.Flatten(), dense(1024, 1024), unit(1024), dense(1024, 10)]
    else:
        own = nn.RLIF((256,), beta=BETA, activation=act, rngs=random)
        # its recurrent weights begin with a deviation of 1, which makes every neuron fire
        own.recurrent_w = nnx.Param(jax.random.uniform(jax.random.PRNGKey(0), (256, 256), minval=-1 / 16, maxval=1 / 16))
        parts = [dense(28, 256), own, dense(256, 10)]
    net = nn.Sequential(*parts, nn.LI((10,), beta=BETA, rngs=random))
    optimizer = nnx.Optimizer(net, optax.adam(RATE), wrt=nnx.Param)

    def scores(net, x):
        if row.net == "conv":
            x = x.reshape(-1, 28, 28, 1)
        if not row.varies:
            x = jnp.broadcast_to(x, (row.steps, *x.shape))
        return nn.run(net, x)[0].mean(0)

    @nnx.jit
    def step(net, optimizer, x, y):
        def loss(net):
            return optax.softmax_cross_entropy_with_integer_labels(scores(net, x), y).mean()

        value, slope = nnx.value_and_grad(loss)(net)
        optimizer.update(net, slope)
        return value

    alone = nnx.jit(scores)
    return (
        lambda x, y: float(step(net, optimizer, jnp.asarray(x), jnp.asarray(y))),
        lambda x: np.asarray(alone(net, jnp.asarray(x))),
    )


measure_jax("spyx", make)
