/* The gradient of a convolution's weights, in blocks of registers: ROWS pairs of a tap and a source channel with COLUMNS targets. */

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
