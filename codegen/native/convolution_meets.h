/* The gradient of the weights of a convolution with strides of 1, for images that are mostly zero: an active source meets as many
 * neighbouring adjoints as the kernel has columns, each with a sum in registers of its own; strips of adjoints stay in the first-level
 * cache. Every sum has one order, whatever the threads. */

#define STRIP 24000 /* bytes of adjoints that the first-level cache holds beside all else */

int64_t snn_meet_vectors(int64_t targets) { return vectors_of_run(targets); }

/* T columns of a row of the kernel: what one source channel sees of the adjoints. place[k] is where the adjoint of the first column is. */
#define MEET(N, T)                                                                                                                       \
    static void meet_##N##_##T(const int32_t *restrict place, const real *restrict value, int64_t count, const real *restrict y,         \
                               int64_t step, real *restrict sum)                                                                         \
    {                                                                                                                                    \
        vec s[T][N];                                                                                                                     \
        _Pragma("GCC unroll 8") for (int t = 0; t < T; t++)                                                                              \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) s[t][j] = (vec){0};                                                      \
        for (int64_t k = 0; k < count; k++) {                                                                                            \
            const real *restrict v = y + place[k];                                                                                       \
            const real u = value[k];                                                                                                     \
            _Pragma("GCC unroll 8") for (int t = 0; t < T; t++)                                                                          \
                _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) s[t][j] += u**(const vec_any *)(v - t*step + j*WIDTH);               \
        }                                                                                                                                \
        _Pragma("GCC unroll 8") for (int t = 0; t < T; t++)                                                                              \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) *(vec_any *)(sum + t*step + j*WIDTH) += s[t][j];                         \
    }
/* MEETS(N) are those that the kernels of a network take, and MEETINGS(N) their table by columns. */
typedef void meeting(const int32_t *, const real *, int64_t, const real *, int64_t, real *);
#if defined(FEW)
MEETS(2)
static meeting *const meets_2[] = MEETINGS(2);
#endif
#if defined(MANY)
MEETS(4)
static meeting *const meets_4[] = MEETINGS(4);
#endif

typedef struct margins {
    int64_t left, all; /* zeros before a row of adjoints, and numbers of pixels of a row with them */
} margins;

static margins margins_of(const snn_frame *a)
{
    const int64_t left = a->kernel_x - 1 - a->left, right = a->width + a->left - a->columns;
    const margins made = {left > 0 ? left : 0, a->columns + (left > 0 ? left : 0) + (right > 0 ? right : 0)};
    return made;
}

/* Numbers of room that a call of snn_meet_weigh for `count` source channels needs. */
int64_t snn_meet_room(const snn_frame *a, int64_t count, int64_t vectors)
{
    const int64_t step = rounded(a->targets, vectors*WIDTH), plain = a->height*a->width, each = count*plain + 16;
    return (a->rows*margins_of(a).all + count*a->kernel_y*a->kernel_x)*step + 2*each + 2*(count*(a->height + 2) + 2) + plain + 128;
}

/* Adds to `out` (group, output, input, row, column): `scale` times the sum over images and pixels, for inputs from .. to - 1 of each group. */
void snn_meet_weigh(const snn_frame *a, const real *in, const real *bars, real *out, real *room, int64_t images, int64_t from, int64_t to,
                    real scale, int64_t vectors)
{
    const int64_t width = vectors*WIDTH, step = rounded(a->targets, width), plain = a->height*a->width, after = a->rows*a->columns;
    const int64_t count = to - from, each = count*plain + 16, taps = a->kernel_y*a->kernel_x;
    const margins margin = margins_of(a);
    const int64_t line = margin.all*step, fit = STRIP/(margin.all*vectors*VECTOR), strip = fit > 0 ? fit : 1;
    real *const y = room, *const sum = y + a->rows*line, *const value = sum + count*taps*step;
    int64_t *const by_channel = (int64_t *)(((uintptr_t)(value + each) + 7) & ~(uintptr_t)7), *const begin = by_channel + count + 1;
    int32_t *const place = (int32_t *)(begin + count*(a->height + 1)), *const lies = place + each;
    meeting *const *const meet = OF_VECTORS(meets);
    memset(y, 0, (size_t)(a->rows*line)*sizeof(real)); /* margins stay zero */
    for (int64_t q = 0; q < plain; q++) lies[q] = (int32_t)(q/a->width*line + q%a->width*step);
    for (int64_t g = 0; g < a->groups; g++) {
        memset(sum, 0, (size_t)(count*taps*step)*sizeof(real));
        for (int64_t image = 0; image < images; image++) {
            const real *const bar = bars + (image*a->groups + g)*a->targets*after;
            for (int64_t r = 0; r < a->rows; r++)
                turn(a->targets, a->columns, bar + r*a->columns, after, y + r*line + margin.left*step, step);
            actives(in + ((image*a->groups + g)*a->sources + from)*plain, count, plain, by_channel, place, value);
            for (int64_t c = 0; c < count; c++) { /* where each row of the image begins in its list, and where its adjoints lie */
                int64_t *const starts = begin + c*(a->height + 1), k = by_channel[c];
                for (int64_t h = 0; h < a->height; h++) {
                    starts[h] = k;
                    const int32_t end = (int32_t)((h + 1)*a->width);
                    for (; k < by_channel[c + 1] && place[k] < end; k++) place[k] = lies[place[k]];
                }
                starts[a->height] = k;
            }
            for (int64_t d = 0; d < step; d += width)
                for (int64_t r = 0; r < a->rows; r += strip)
                    for (int64_t c = 0; c < count; c++)
                        for (int64_t ky = 0; ky < a->kernel_y; ky++) {
                            const int64_t down = a->top - ky*a->apart_y, after_last = (r + strip < a->rows ? r + strip : a->rows) - down;
                            const int64_t h = r - down > 0 ? r - down : 0, end = after_last < a->height ? after_last : a->height;
                            if (h >= end) continue;
                            const int64_t *const starts = begin + c*(a->height + 1);
                            const int64_t k = starts[h], n = starts[end] - k;
                            for (int64_t kx = 0, columns; n > 0 && kx < a->kernel_x; kx += columns) {
                                const int64_t left = a->kernel_x - kx;
                                columns = left >= 5 ? 5 : left == 4 ? 2 : left;
                                meet[columns](place + k, value + k, n, y + down*line + (a->left + margin.left - kx)*step + d, step,
                                                  sum + (c*taps + ky*a->kernel_x + kx)*step + d);
                            }
                        }
        }
        for (int64_t c = 0; c < count; c++)
            for (int64_t t = 0; t < taps; t++)
                for (int64_t d = 0; d < a->targets; d++)
                    out[((g*a->targets + d)*a->sources + from + c)*taps + t] += scale*sum[(c*taps + t)*step + d];
    }
}
