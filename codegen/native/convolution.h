/* Convolutions over batches of images, forwards and back to the senders, with channels last inside and channels first outside.
 *
 * A plan (snn_reach) lists for each pixel of the target the pixels of the source that reach it, each with the number of its
 * tap: forwards from inputs to outputs, backwards from outputs to inputs. Only taps inside of the image are listed, so that
 * padding, strides and dilation cost nothing. ROWS images go through a pixel together: their sums stay in registers, a weight is
 * loaded once for all of them, and the order in which one image is summed depends on nothing but the plan. */

/* How many channels stand beside each other in packed weights. */
int64_t snn_reach_columns(void) { return COLUMNS; }

void snn_reach_pack(const snn_reach *a, const real *weight, real scale, int64_t backwards, int64_t width, real *packed)
{
    pack_weights(a, weight, scale, backwards, width, packed);
}

/* One pixel of ROWS images, COLUMNS channels: sums over taps and source channels. */
static void reach_pixel(const snn_reach *a, int64_t p, const real *restrict x, int64_t image, const real *restrict w, real *restrict y,
                            int64_t y_image)
{
#define DECLARE(i) vec s##i = {0}, t##i = {0};
    EACH_ROW(DECLARE)
    const int64_t n = a->sources;
    for (int64_t e = a->first[p]; e < a->first[p + 1]; e++) {
        const real *restrict u = x + a->from[e]*n;
        const real *restrict v = w + a->tap[e]*n*COLUMNS;
        for (int64_t k = 0; k < n; k++) {
            const vec v0 = *(const vec_any *)v, v1 = *(const vec_any *)(v + WIDTH);
            v += COLUMNS;
#define ADD(i) { const real u##i = u[i*image]; s##i += u##i*v0; t##i += u##i*v1; }
            EACH_ROW(ADD)
            u++;
        }
    }
#define KEEP(i) *(vec_any *)(y + i*y_image) = s##i; *(vec_any *)(y + i*y_image + WIDTH) = t##i;
    EACH_ROW(KEEP)
#undef DECLARE
#undef ADD
#undef KEEP
}

/* Numbers of room that a call of snn_reach_images needs. */
int64_t snn_reach_room(const snn_reach *a)
{
    return ROWS*(a->before*a->sources + a->after*rounded(a->targets, COLUMNS)) + 64;
}

/* Images first .. last - 1 of `in` (images, groups*sources, before) to `out` (images, groups*targets, after). */
void snn_reach_images(const snn_reach *a, const real *in, const real *packed, real *out, real *room, int64_t first, int64_t last, int64_t add)
{
    const int64_t step = rounded(a->targets, COLUMNS), source = a->before*a->sources, target = a->after*step;
    real *const x = room, *const y = room + ROWS*source;
    for (int64_t image = first; image < last; image += ROWS) {
        const int64_t count = last - image < ROWS ? last - image : ROWS;
        for (int64_t g = 0; g < a->groups; g++) {
            for (int64_t i = 0; i < ROWS; i++) /* where images are missing, the last one stands for them */
                turn(a->sources, a->before, in + ((image + (i < count ? i : count - 1))*a->groups + g)*source, a->before, x + i*source,
                     a->sources);
            const real *w = packed + g*step*a->taps*a->sources;
            for (int64_t d = 0; d < step; d += COLUMNS, w += COLUMNS*a->taps*a->sources)
                for (int64_t p = 0; p < a->after; p++) reach_pixel(a, p, x, source, w, y + p*step + d, target);
            for (int64_t i = 0; i < count; i++)
                leave(a, y + i*target, step, out + ((image + i)*a->groups + g)*a->targets*a->after, (int)add);
        }
    }
}
