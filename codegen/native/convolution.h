/* Convolutions over batches of images, and their two adjoints, with channels last inside and channels first outside.
 *
 * A plan (snn_reach) lists for each pixel of the target the pixels of the source that reach it, each with the number of its
 * tap: forwards from inputs to outputs, backwards from outputs to inputs. Only taps inside of the image are listed, so that
 * padding, strides and dilation cost nothing. ROWS images go through a pixel together: their sums stay in registers, a weight is
 * loaded once for all of them, and the order in which one image is summed depends on nothing but the plan. */

#define ROWS 6

/* How many channels stand beside each other in packed weights: two vectors for the product, more for lists. */
int64_t snn_columns(void) { return COLUMNS; }

/* Weights (group, output, input, tap) times `scale` as [group][block of targets][tap][source][width]; channels that are not there are 0. */
void snn_pack(const snn_reach *a, const real *weight, real scale, int64_t backwards, int64_t width, real *packed)
{
    const int64_t blocks = rounded(a->targets, width)/width;
    for (int64_t g = 0; g < a->groups; g++)
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t t = 0; t < a->taps; t++)
                for (int64_t s = 0; s < a->sources; s++)
                    for (int64_t w = 0; w < width; w++) {
                        const int64_t d = b*width + w;
                        real value = 0;
                        if (d < a->targets) {
                            const int64_t at = backwards ? (g*a->sources + s)*a->targets + d : (g*a->targets + d)*a->sources + s;
                            value = scale*weight[at*a->taps + t];
                        }
                        *packed++ = value;
                    }
}

#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)

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

/* --- the gradient of weights ---------------------------------------------------------------------------------------------- */

SNN_INLINE void weigh_tile(const real *restrict x, int64_t x_image, const real *restrict y, int64_t step, int64_t images, int64_t after,
                           const int64_t *restrict pixel, const int64_t *restrict at, real *restrict sum)
{
#define DECLARE(i) vec s##i = {0}, t##i = {0}; const int64_t o##i = at[i];
    EACH_ROW(DECLARE)
    for (int64_t n = 0; n < images; n++, x += x_image)
        for (int64_t p = 0; p < after; p++, y += step) {
            const vec v0 = *(const vec_any *)y, v1 = *(const vec_any *)(y + WIDTH);
            const real *restrict u = x + pixel[p];
#define ADD(i) { const real u##i = u[o##i]; s##i += u##i*v0; t##i += u##i*v1; }
            EACH_ROW(ADD)
        }
#define KEEP(i) *(vec_any *)(sum + i*step) += s##i; *(vec_any *)(sum + i*step + WIDTH) += t##i;
    EACH_ROW(KEEP)
#undef DECLARE
#undef ADD
#undef KEEP
}

/* Room of snn_weigh for pieces of `images`, in numbers; the plain ones first, then indices. */
int64_t snn_weigh_room(const snn_slide *a, int64_t images)
{
    const int64_t step = rounded(a->targets, COLUMNS), rows = rounded(a->taps*a->sources, ROWS);
    return images*(a->padded_height*a->padded_width*a->sources + a->after*step) + rows*step + 2*(a->after + rows) + 64;
}

/* Adds to `out` (group, output, input, tap): `scale` times the sum over images and pixels, for rows from .. to - 1 of ROWS (tap, source). */
void snn_weigh(const snn_slide *a, const real *in, const real *bars, real *out, real *room, int64_t images, int64_t piece, int64_t from,
               int64_t to, real scale)
{
    const int64_t step = rounded(a->targets, COLUMNS), all = a->taps*a->sources, rows = rounded(all, ROWS);
    const int64_t x_image = a->padded_height*a->padded_width*a->sources, plain = a->height*a->width;
    real *const x = room, *const y = x + piece*x_image, *const sum = y + piece*a->after*step;
    int64_t *const pixel = (int64_t *)(((uintptr_t)(sum + rows*step) + 7) & ~(uintptr_t)7), *const at = pixel + a->after;
    for (int64_t p = 0; p < a->after; p++) pixel[p] = (int64_t)a->pixel[p]*a->sources;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t known = r < all ? r : all - 1;
        at[r] = a->tap[known/a->sources]*a->sources + known%a->sources;
    }
    for (int64_t g = 0; g < a->groups; g++) {
        memset(sum, 0, (size_t)(rows*step)*sizeof(real));
        memset(x, 0, (size_t)(piece*x_image)*sizeof(real));
        memset(y, 0, (size_t)(piece*a->after*step)*sizeof(real));
        for (int64_t first = 0; first < images; first += piece) {
            const int64_t count = images - first < piece ? images - first : piece;
            for (int64_t i = 0; i < count; i++) {
                const real *const image = in + ((first + i)*a->groups + g)*a->sources*plain;
                real *const padded = x + i*x_image + (a->top*a->padded_width + a->left)*a->sources;
                if (a->padded_width == a->width) turn(a->sources, plain, image, plain, padded, a->sources);
                else
                    for (int64_t h = 0; h < a->height; h++)
                        turn(a->sources, a->width, image + h*a->width, plain, padded + h*a->padded_width*a->sources, a->sources);
                turn(a->targets, a->after, bars + ((first + i)*a->groups + g)*a->targets*a->after, a->after, y + i*a->after*step, step);
            }
            for (int64_t r = from*ROWS; r < to*ROWS && r < rows; r += ROWS) /* what a tap saw stays in the first-level cache */
                for (int64_t d = 0; d < step; d += COLUMNS)
                    weigh_tile(x, x_image, y + d, step, count, a->after, pixel, at + r, sum + r*step + d);
        }
        for (int64_t r = from*ROWS; r < to*ROWS && r < all; r++)
            for (int64_t d = 0; d < a->targets; d++)
                out[((g*a->targets + d)*a->sources + r%a->sources)*a->taps + r/a->sources] += scale*sum[r*step + d];
    }
}
