/* Convolutions of images that are mostly zero, image by image through lists of the channels that are not, for any stride and dilation. */

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
RARE(4)
RARE(8)
GATHER(4)

int64_t snn_rare_columns(void) { return COLUMNS; }

void snn_rare_pack(const snn_reach *a, const real *weight, real scale, int64_t backwards, int64_t width, real *packed)
{
    pack_weights(a, weight, scale, backwards, width, packed);
}

/* How many vectors of channels lists sum side by side: few where more would stay empty. */
int64_t snn_rare_vectors(int64_t targets)
{
    if (targets <= 2*WIDTH) return 2;
    return rounded(targets, 4*WIDTH) < rounded(targets, 8*WIDTH) ? 4 : 8;
}

/* As snn_reach_images, weights packed in blocks of `vectors` (2, 4 or 8) vectors. */
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
                else if (vectors == 4) rare_4(a, begin, channel, value, w, y + d, step);
                else rare_2(a, begin, channel, value, w, y + d, step);
            }
            leave(a, y, step, out + (image*a->groups + g)*a->targets*a->after, (int)add);
        }
}

/* --- the gradient of weights ----------------------------------------------------------------------------------------------- */

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
                    if (vectors == 8) gather_8(meets, value, n, y + d, step, 1, sum + r*step + d, 1, NULL, 0);
                    else if (vectors == 4) gather_4(meets, value, n, y + d, step, 1, sum + r*step + d, 1, NULL, 0);
                    else gather_2(meets, value, n, y + d, step, 1, sum + r*step + d, 1, NULL, 0);
                }
            }
        }
        for (int64_t r = from; r < to; r++)
            for (int64_t d = 0; d < a->targets; d++)
                out[((g*a->targets + d)*a->sources + r/a->taps)*a->taps + r%a->taps] += scale*sum[r*step + d];
    }
}
