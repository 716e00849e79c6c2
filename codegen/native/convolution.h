/* Convolutions over batches of images, and their two adjoints, with channels last inside and channels first outside.
 *
 * A plan (snn_reach) lists for each pixel of the target the pixels of the source that reach it, each with the number of its
 * tap: forwards from inputs to outputs, backwards from outputs to inputs. Only taps inside of the image are listed, so that
 * padding, strides and dilation cost nothing. ROWS images go through a pixel together: their sums stay in registers, a weight is
 * loaded once for all of them, and the order in which one image is summed depends on nothing but the plan. Sources that are mostly
 * zero (spikes, pooled spikes) go image by image through the list of their channels that are not. */

#define ROWS 6
#define COLUMNS (2*WIDTH)

typedef struct snn_reach {
    int64_t groups, sources, targets;   /* channels of a group before and after */
    int64_t before, after, taps;        /* pixels before and after, places of the kernel */
    const int32_t *first, *from, *tap;  /* of target pixel p: entries first[p] .. first[p + 1] - 1 */
} snn_reach;

/* How many channels stand beside each other in packed weights: two vectors for the product, more for lists. */
int64_t snn_columns(void) { return COLUMNS; }

SNN_INLINE int64_t rounded(int64_t n, int64_t to) { return (n + to - 1)/to*to; }

/* (rows, columns) to (columns, rows), in squares that stay in the cache. */
static void turn(int64_t rows, int64_t columns, const real *in, int64_t in_step, real *out, int64_t out_step)
{
    for (int64_t r = 0; r < rows; r += 16)
        for (int64_t c = 0; c < columns; c += 16) {
            const int64_t rn = rows - r < 16 ? rows - r : 16, cn = columns - c < 16 ? columns - c : 16;
            if (rn == 16)
                for (int64_t j = 0; j < cn; j++)
                    for (int64_t i = 0; i < 16; i++) out[(c + j)*out_step + r + i] = in[(r + i)*in_step + c + j];
            else
                for (int64_t j = 0; j < cn; j++)
                    for (int64_t i = 0; i < rn; i++) out[(c + j)*out_step + r + i] = in[(r + i)*in_step + c + j];
        }
}

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

static void leave(const snn_reach *a, const real *y, int64_t step, real *out, int add)
{
    /* [pixel][step] to (channel, pixel) */
    for (int64_t d = 0; d < a->targets; d += 16) {
        const int64_t dn = a->targets - d < 16 ? a->targets - d : 16;
        for (int64_t p = 0; p < a->after; p += 16) {
            const int64_t pn = a->after - p < 16 ? a->after - p : 16;
            for (int64_t j = 0; j < dn; j++) {
                real *restrict o = out + (d + j)*a->after + p;
                const real *restrict from = y + p*step + d + j;
                if (add) for (int64_t i = 0; i < pn; i++) o[i] += from[i*step];
                else for (int64_t i = 0; i < pn; i++) o[i] = from[i*step];
            }
        }
    }
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

/* --- sources that are mostly zero ----------------------------------------------------------------------------------------- */

int64_t snn_rare_room(const snn_reach *a, int64_t width)
{
    return 4*a->before*a->sources + 4*(a->before + a->sources) + 96 + a->after*rounded(a->targets, width);
}

#define RARE(N)                                                                                                                          \
    static void rare_##N(const snn_reach *a, const int64_t *begin, const int32_t *channel, const real *value, const real *w, real *y,     \
                         int64_t step)                                                                                                   \
    {                                                                                                                                    \
        for (int64_t p = 0; p < a->after; p++) {                                                                                         \
            vec s[N];                                                                                                                    \
            for (int j = 0; j < N; j++) s[j] = (vec){0};                                                                                 \
            for (int64_t e = a->first[p]; e < a->first[p + 1]; e++) {                                                                    \
                const int64_t q = a->from[e];                                                                                            \
                const real *v = w + a->tap[e]*a->sources*N*WIDTH;                                                                        \
                for (int64_t k = begin[q]; k < begin[q + 1]; k++) {                                                                      \
                    const real *row = v + channel[k]*N*WIDTH;                                                                            \
                    const real u = value[k];                                                                                             \
                    _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) s[j] += u**(const vec_any *)(row + j*WIDTH);                     \
                }                                                                                                                        \
            }                                                                                                                            \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) *(vec_any *)(y + p*step + j*WIDTH) = s[j];                               \
        }                                                                                                                                \
    }
RARE(2)
RARE(8)

/* As snn_reach_images, weights packed in blocks of `vectors` (2 or 8) vectors. */
void snn_rare_images(const snn_reach *a, const real *in, const real *packed, real *out, real *room, int64_t first, int64_t last, int64_t add,
                     int64_t vectors)
{
    const int64_t width = vectors*WIDTH, step = rounded(a->targets, width), source = a->before*a->sources;
    /* what is sent by channel, then by pixel: numbers first, then indices */
    real *const sent = room, *const value = sent + source + 16, *const y = value + source + 16;
    int64_t *const by_channel = (int64_t *)(((uintptr_t)(y + a->after*step) + 7) & ~(uintptr_t)7), *const begin = by_channel + a->sources + 1;
    int32_t *const pixel = (int32_t *)(begin + a->before + 1), *const channel = pixel + source + 16;
    for (int64_t image = first; image < last; image++)
        for (int64_t g = 0; g < a->groups; g++) {
            const real *const x = in + (image*a->groups + g)*source;
            snn_rows_list(x, a->sources, a->before, by_channel, pixel, sent);
            snn_rows_turn(a->sources, a->before, by_channel, pixel, sent, begin, channel, value);
            const real *w = packed + g*step*a->taps*a->sources;
            for (int64_t d = 0; d < step; d += width, w += width*a->taps*a->sources) {
                if (vectors == 8) rare_8(a, begin, channel, value, w, y + d, step);
                else rare_2(a, begin, channel, value, w, y + d, step);
            }
            leave(a, y, step, out + (image*a->groups + g)*a->targets*a->after, (int)add);
        }
}

/* --- the gradient of weights ---------------------------------------------------------------------------------------------- */

typedef struct snn_slide {
    int64_t groups, sources, targets;       /* channels of a group before and after */
    int64_t height, width, top, left;       /* of an image, and its margin */
    int64_t padded_height, padded_width;
    int64_t after, taps;                    /* pixels of an output, places of the kernel */
    const int32_t *pixel, *tap;             /* where in a padded image the window of an output begins, and what a tap adds to that */
} snn_slide;

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

/* --- the same where the sources are mostly zero ---------------------------------------------------------------------------- */

/* Room of snn_rare_weigh in numbers of `real`, whole for either precision. */
int64_t snn_rare_weigh_room(const snn_slide *a, int64_t piece, int64_t vectors)
{
    const int64_t step = rounded(a->targets, vectors*WIDTH), plain = a->height*a->width, source = a->sources*plain;
    return piece*(a->after*step + 2*source + 2*plain + 2*(a->sources + 1) + 64) + a->taps*a->sources*step + 64;
}

/* As snn_weigh, for rows from .. to - 1 of (source, tap). `reached` (tap, pixel of an image) is the output pixel that the tap takes it to,
 * or -1. For each row the adjoints that meet an active source are listed, then gathered. */
void snn_rare_weigh(const snn_slide *a, const int32_t *reached, const real *in, const real *bars, real *out, real *room, int64_t images,
                    int64_t piece, int64_t from, int64_t to, real scale, int64_t vectors)
{
    const int64_t width = vectors*WIDTH, step = rounded(a->targets, width), plain = a->height*a->width, source = a->sources*plain;
    real *const y = room, *const sum = y + piece*a->after*step, *const sent = sum + a->taps*a->sources*step;
    real *const value = sent + piece*(source + 16);
    int64_t *const begin = (int64_t *)(((uintptr_t)(value + piece*plain) + 7) & ~(uintptr_t)7);
    int32_t *const pixel = (int32_t *)(begin + piece*(a->sources + 1)), *const meets = pixel + piece*(source + 16);
    for (int64_t g = 0; g < a->groups; g++) {
        memset(sum, 0, (size_t)(a->taps*a->sources*step)*sizeof(real));
        memset(y, 0, (size_t)(piece*a->after*step)*sizeof(real));
        for (int64_t first = 0; first < images; first += piece) {
            const int64_t count = images - first < piece ? images - first : piece;
            for (int64_t i = 0; i < count; i++) {
                const int64_t image = (first + i)*a->groups + g;
                snn_rows_list(in + image*source, a->sources, plain, begin + i*(a->sources + 1), pixel + i*(source + 16),
                              sent + i*(source + 16));
                turn(a->targets, a->after, bars + image*a->targets*a->after, a->after, y + i*a->after*step, step);
            }
            for (int64_t r = from; r < to; r++) {
                const int64_t c = r/a->taps;
                const int32_t *const after = reached + r%a->taps*plain;
                int64_t n = 0;
                for (int64_t i = 0; i < count; i++) {
                    const int64_t *const part = begin + i*(a->sources + 1) + c;
                    for (int64_t k = part[0]; k < part[1]; k++) {
                        const int32_t p = after[pixel[i*(source + 16) + k]];
                        meets[n] = (int32_t)(i*a->after) + p;
                        value[n] = sent[i*(source + 16) + k];
                        n += p >= 0;
                    }
                }
                for (int64_t d = 0; d < step; d += width) {
                    if (vectors == 8) gather_8(meets, value, n, y + d, step, 1, sum + r*step + d, 1);
                    else gather_2(meets, value, n, y + d, step, 1, sum + r*step + d, 1);
                }
            }
        }
        for (int64_t r = from; r < to; r++)
            for (int64_t d = 0; d < a->targets; d++)
                out[((g*a->targets + d)*a->sources + r/a->taps)*a->taps + r%a->taps] += scale*sum[r*step + d];
    }
}
