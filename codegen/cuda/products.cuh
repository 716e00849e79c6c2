/* What connections do to whole batches beside matrix products: windows of images as columns, pools, lists of synapses; and one pass of an
 * optimizer over all parameters. `real` is the precision. Every number is written by one thread, which adds in a fixed order: no atomics,
 * the same bits every time. `a` is a table of 64-bit whole numbers on the device: addresses first, then sizes. Needs mathematics.cuh.
 */
#ifndef SNN_CUDA_PRODUCTS
#define SNN_CUDA_PRODUCTS

#define SNN_EACH(item, count) \
    for (int64_t item = (int64_t)blockIdx.x*blockDim.x + threadIdx.x; item < (count); item += (int64_t)gridDim.x*blockDim.x)

/* Windows of (depth, height, width) images: `rows` times `columns` of them, of ky times kx places, `down` and `across` apart, places `dy` and
 * `dx` apart, the first at -top, -left. */
struct snn_window {
    int64_t depth, height, width, rows, columns, ky, kx, down, across, top, left, dy, dx;
};

/* columns[tap][image][window] of a tap = (channel, y, x); 0 outside of the image. a: images, columns, then count and the window. */
extern "C" __global__ void snn_columns(int64_t table, int64_t count)
{
    const int64_t *const a = (const int64_t *)table;
    const real *const images = (const real *)a[0];
    real *const columns = (real *)a[1];
    const snn_window w = *(const snn_window *)(a + 2);
    const int64_t windows = w.rows*w.columns, places = w.ky*w.kx;
    SNN_EACH(at, count*windows*w.depth*places) {
        const int64_t window = at % windows, image = at/windows % count, tap = at/(windows*count);
        const int64_t y = window/w.columns*w.down - w.top + tap % places/w.kx*w.dy;
        const int64_t x = window % w.columns*w.across - w.left + tap % w.kx*w.dx;
        const bool inside = y >= 0 && y < w.height && x >= 0 && x < w.width;
        columns[at] = inside ? images[((image*w.depth + tap/places)*w.height + y)*w.width + x] : (real)0;
    }
}

/* Where window coordinate `place` of `number` windows `apart` may see `at`: -1 if none does. */
SNN_INLINE int64_t snn_seen(int64_t at, int64_t before, int64_t place, int64_t apart, int64_t number)
{
    const int64_t from = at + before - place;
    return from >= 0 && from % apart == 0 && from/apart < number ? from/apart : -1;
}

/* The transpose: every pixel adds up what its taps hold. a: columns, images, then the window; `add`: to what is there. */
extern "C" __global__ void snn_images(int64_t table, int64_t count, int64_t add)
{
    const int64_t *const a = (const int64_t *)table;
    const real *const columns = (const real *)a[0];
    real *const images = (real *)a[1];
    const snn_window w = *(const snn_window *)(a + 2);
    const int64_t pixels = w.height*w.width, windows = w.rows*w.columns;
    SNN_EACH(at, count*w.depth*pixels) {
        const int64_t x = at % w.width, y = at/w.width % w.height, channel = at/pixels % w.depth, image = at/(pixels*w.depth);
        real total = 0;
        for (int64_t j = 0; j < w.ky; j++) {
            const int64_t row = snn_seen(y, w.top, j*w.dy, w.down, w.rows);
            for (int64_t i = 0; row >= 0 && i < w.kx; i++) {
                const int64_t column = snn_seen(x, w.left, i*w.dx, w.across, w.columns);
                if (column < 0) continue;
                const int64_t tap = (channel*w.ky + j)*w.kx + i;
                total += columns[(tap*count + image)*windows + row*w.columns + column];
            }
        }
        images[at] = add ? images[at] + total : total;
    }
}

/* The sum or the greatest of one window of one channel; `best` is the place of the first pixel that has it (-1: none has). */
SNN_INLINE real snn_pooled(const snn_window &w, const real *image, int64_t window, int64_t greatest, int64_t *best)
{
    const int64_t y0 = window/w.columns*w.down - w.top, x0 = window % w.columns*w.across - w.left;
    real total = greatest ? -(real)INFINITY : (real)0;
    *best = -1;
    for (int64_t j = 0; j < w.ky; j++)
        for (int64_t i = 0; i < w.kx; i++) {
            const int64_t y = y0 + j*w.dy, x = x0 + i*w.dx;
            if (y < 0 || y >= w.height || x < 0 || x >= w.width) continue;
            const real value = image[y*w.width + x];
            if (!greatest) total += value;
            else if (value > total || value != value) total = value, *best = y*w.width + x;
        }
    return total;
}

/* a: images, weight (one number), pooled, then the window. `scale` are the bits of a double. */
extern "C" __global__ void snn_pool(int64_t table, int64_t count, int64_t greatest, int64_t scale, int64_t add)
{
    const int64_t *const a = (const int64_t *)table;
    const real *const images = (const real *)a[0];
    real *const pooled = (real *)a[2];
    const real factor = (real)snn_of_bits((uint64_t)scale)**(const real *)a[1];
    const snn_window w = *(const snn_window *)(a + 3);
    const int64_t windows = w.rows*w.columns, pixels = w.height*w.width;
    SNN_EACH(at, count*w.depth*windows) {
        int64_t best;
        const real made = factor*snn_pooled(w, images + at/windows*pixels, at % windows, greatest, &best);
        pooled[at] = add ? pooled[at] + made : made;
    }
}

/* Backwards: a pixel asks the windows that see it; of a maximum, whether it was the first to have it. a: pooled, weight, images (what the
 * adjoint goes to), images (what was sent), then the window. */
extern "C" __global__ void snn_pool_back(int64_t table, int64_t count, int64_t greatest, int64_t scale, int64_t add)
{
    const int64_t *const a = (const int64_t *)table;
    const real *const pooled = (const real *)a[0];
    real *const images = (real *)a[2];
    const real *const sent = (const real *)a[3];
    const real factor = (real)snn_of_bits((uint64_t)scale)**(const real *)a[1];
    const snn_window w = *(const snn_window *)(a + 4);
    const int64_t windows = w.rows*w.columns, pixels = w.height*w.width;
    SNN_EACH(at, count*w.depth*pixels) {
        const int64_t plane = at/pixels, pixel = at % pixels, x = pixel % w.width, y = pixel/w.width;
        real total = 0;
        for (int64_t j = 0; j < w.ky; j++) {
            const int64_t row = snn_seen(y, w.top, j*w.dy, w.down, w.rows);
            for (int64_t i = 0; row >= 0 && i < w.kx; i++) {
                const int64_t column = snn_seen(x, w.left, i*w.dx, w.across, w.columns);
                if (column < 0) continue;
                const int64_t window = row*w.columns + column;
                int64_t best = pixel;
                if (greatest) snn_pooled(w, sent + plane*pixels, window, 1, &best);
                if (best == pixel) total += pooled[plane*windows + window];
            }
        }
        images[at] = add ? images[at] + factor*total : factor*total;
    }
}

/* Lists of synapses: out[row][neuron] from those that end there, in their order. a: start (neurons + 1), synapse, source of a synapse, its
 * weight's number (0: none), weights, in (rows, sources), out (rows, neurons). `single`: one weight serves all. */
extern "C" __global__ void snn_synapses(int64_t table, int64_t rows, int64_t sources, int64_t neurons, int64_t single, int64_t scale,
                                        int64_t add)
{
    const int64_t *const a = (const int64_t *)table;
    const int64_t *const start = (const int64_t *)a[0], *const synapse = (const int64_t *)a[1], *const source = (const int64_t *)a[2];
    const int64_t *const number = (const int64_t *)a[3];
    const real *const weight = (const real *)a[4], *const in = (const real *)a[5];
    real *const out = (real *)a[6];
    const real factor = (real)snn_of_bits((uint64_t)scale);
    SNN_EACH(at, rows*neurons) {
        const int64_t row = at/neurons, neuron = at % neurons;
        real total = 0;
        for (int64_t place = start[neuron]; place < start[neuron + 1]; place++) {
            const int64_t s = synapse[place];
            total += weight[single ? 0 : number ? number[s] : s]*factor*in[row*sources + source[s]];
        }
        out[at] = add ? out[at] + total : total;
    }
}

/* What every synapse says about its weight: the sum over the rows. a: pre and post of a synapse, sent (rows, pre), arrived (rows, post), made
 * (synapses). */
extern "C" __global__ void snn_slopes(int64_t table, int64_t synapses, int64_t rows, int64_t pre, int64_t post, int64_t scale)
{
    const int64_t *const a = (const int64_t *)table;
    const int64_t *const pre_of = (const int64_t *)a[0], *const post_of = (const int64_t *)a[1];
    const real *const sent = (const real *)a[2], *const arrived = (const real *)a[3];
    real *const made = (real *)a[4];
    const real factor = (real)snn_of_bits((uint64_t)scale);
    SNN_EACH(s, synapses) {
        real total = 0;
        for (int64_t row = 0; row < rows; row++) total += sent[row*pre + pre_of[s]]*arrived[row*post + post_of[s]];
        made[s] = total*factor;
    }
}

/* Shared weights add up their synapses. a: start (weights + 1), synapse, made (synapses), out (weights). */
extern "C" __global__ void snn_weights_shared(int64_t table, int64_t weights)
{
    const int64_t *const a = (const int64_t *)table;
    const int64_t *const start = (const int64_t *)a[0], *const synapse = (const int64_t *)a[1];
    const real *const made = (const real *)a[2];
    real *const out = (real *)a[3];
    SNN_EACH(at, weights) {
        real total = 0;
        for (int64_t place = start[at]; place < start[at + 1]; place++) total += made[synapse[place]];
        out[at] += total;
    }
}

#endif
