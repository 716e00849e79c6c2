/* Convolutions of images that are mostly zero, for kernels whose columns lie side by side (dilation 1), and the gradient of their weights.
 *
 * What is active is listed pixel by pixel. A row of the kernel then meets one run of the list: the active channels of neighbouring pixels,
 * whose weights lie as their numbers say. Forwards a run is summed for one output pixel, all its channels in registers; a row of the kernel
 * and so many source channels (`part`) go through the whole image, so that their weights stay in the first-level cache. For the gradient
 * an active source meets as many neighbouring adjoints as the kernel has columns, each with a sum in registers of its own; strips of
 * adjoints stay in the first-level cache. Every sum has one order, whatever the threads. */

typedef struct snn_frame {
    int64_t groups, sources, targets;                           /* channels of a group before and after */
    int64_t height, width, rows, columns;                       /* of an image before and after */
    int64_t kernel_y, kernel_x, stride_y, stride_x, top, left;
    int64_t apart_y;                                            /* between rows of the kernel */
} snn_frame;

#define STRIP 24000 /* bytes of adjoints that the first-level cache holds beside all else */
#define ROW 49152   /* bytes of weights that are read from it often enough */

#if defined(SIXTEEN)
#if __has_builtin(__builtin_ia32_cmpps512_mask) && __has_builtin(__builtin_ia32_compresssf512_mask) && \
    __has_builtin(__builtin_ia32_compresssi512_mask)
#define COMPRESS 1
typedef int32_t sixteen_whole __attribute__((vector_size(64)));
typedef int32_t sixteen_whole_any __attribute__((vector_size(64), aligned(4), may_alias));
#endif
#endif

/* As snn_rows_list; sixteen numbers are looked at, and what is active of them moved together, in a few instructions where there are any. */
static int64_t actives(const real *sent, int64_t rows, int64_t pre, int64_t *begin, int32_t *index, real *value)
{
#if defined(COMPRESS)
    if (sizeof(real) == sizeof(float)) {
        const sixteen_whole next = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        int64_t n = 0;
        for (int64_t r = 0; r < rows; r++) {
            begin[r] = n;
            for (int64_t i = 0; i < pre; i += 16) { /* what is stored beyond the actives is overwritten, or is in the room of 16 more */
                const sixteen x = some_of((const float *)sent + r*pre + i, pre - i < 16 ? pre - i : 16);
                const unsigned short active = __builtin_ia32_cmpps512_mask(x, (sixteen){0}, 4, (unsigned short)-1, 4); /* unlike 0, or no number */
                if (active == 0) continue;
                *(sixteen_any *)((float *)value + n) = __builtin_ia32_compresssf512_mask(x, (sixteen){0}, active);
                *(sixteen_whole_any *)(index + n) = __builtin_ia32_compresssi512_mask(next + (int32_t)i, (sixteen_whole){0}, active);
                n += __builtin_popcount(active);
            }
        }
        begin[rows] = n;
        return n;
    }
#endif
    return snn_rows_list(sent, rows, pre, begin, index, value);
}

/* How many vectors of channels a run sums side by side. */
int64_t snn_run_vectors(int64_t targets)
{
    return VECTOR == 64 && targets > 2*WIDTH ? 4 : 2;
}

/* Source channels whose weights, of a row of the kernel, stay in the first-level cache. */
int64_t snn_run_part(const snn_frame *a, int64_t vectors)
{
    const int64_t fit = ROW/(a->kernel_x*vectors*VECTOR), parts = fit > 0 ? (a->sources + fit - 1)/fit : a->sources;
    return (a->sources + parts - 1)/parts;
}

/* Weights (group, output, input, row, column) times `scale` as [group][block of outputs][part of inputs][row][column][input][width]. */
void snn_run_pack(const snn_frame *a, const real *weight, real scale, int64_t vectors, int64_t part, real *packed)
{
    const int64_t width = vectors*WIDTH, taps = a->kernel_y*a->kernel_x;
    for (int64_t g = 0; g < a->groups; g++)
        for (int64_t d = 0; d < a->targets; d += width)
            for (int64_t s = 0; s < a->sources; s += part)
                for (int64_t t = 0; t < taps; t++)
                    for (int64_t c = s; c < s + part && c < a->sources; c++)
                        for (int64_t w = d; w < d + width; w++)
                            *packed++ = w < a->targets ? scale*weight[((g*a->targets + w)*a->sources + c)*taps + t] : 0;
}

/* The active numbers of `channels` images of `plain` pixels by pixel: `at` is pixel*channels + channel. Room as for snn_rows_list. */
static void by_pixel(const real *x, int64_t channels, int64_t plain, int64_t *by_channel, int32_t *pixel, real *sent, int64_t *begin,
                     int32_t *at, real *value)
{
    const int64_t n = actives(x, channels, plain, by_channel, pixel, sent);
    memset(begin, 0, (size_t)(plain + 1)*sizeof(int64_t));
    for (int64_t k = 0; k < n; k++) begin[pixel[k] + 1]++;
    for (int64_t q = 0; q < plain; q++) begin[q + 1] += begin[q];
    for (int64_t c = 0; c < channels; c++)
        for (int64_t k = by_channel[c]; k < by_channel[c + 1]; k++) {
            const int64_t place = begin[pixel[k]]++;
            at[place] = (int32_t)(pixel[k]*channels + c);
            value[place] = sent[k];
        }
    for (int64_t q = plain; q > 0; q--) begin[q] = begin[q - 1];
    begin[0] = 0;
}

/* One row of the kernel over one row of the output; `w` are the weights of that row, `row` the first pixel of the image's row. */
#define RUN(N)                                                                                                                           \
    static void run_##N(const snn_frame *a, const int64_t *restrict begin, const int32_t *restrict at, const real *restrict value,       \
                        int64_t channels, int64_t row, const real *restrict w, real *restrict y, int64_t step)                           \
    {                                                                                                                                    \
        for (int64_t p = 0; p < a->columns; p++, y += step) {                                                                            \
            const int64_t q = p*a->stride_x - a->left, from = q < 0 ? 0 : q;                                                             \
            const int64_t to = q + a->kernel_x < a->width ? q + a->kernel_x : a->width;                                                  \
            if (from >= to) continue;                                                                                                    \
            const int64_t origin = (row + q)*channels, last = begin[row + to];                                                           \
            vec s[N];                                                                                                                    \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) s[j] = *(const vec_any *)(y + j*WIDTH);                                  \
            for (int64_t k = begin[row + from]; k < last; k++) {                                                                         \
                const real *restrict v = w + (at[k] - origin)*(N*WIDTH);                                                                 \
                const real u = value[k];                                                                                                 \
                _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) s[j] += u**(const vec_any *)(v + j*WIDTH);                           \
            }                                                                                                                            \
            _Pragma("GCC unroll 8") for (int j = 0; j < N; j++) *(vec_any *)(y + j*WIDTH) = s[j];                                        \
        }                                                                                                                                \
    }
RUN(2)
RUN(4)

/* Numbers of room that a call of snn_run_images needs. */
int64_t snn_run_room(const snn_frame *a, int64_t vectors)
{
    const int64_t plain = a->height*a->width;
    return 4*plain*a->sources + 2*(plain + a->sources) + 128 + a->rows*a->columns*rounded(a->targets, vectors*WIDTH);
}

/* As snn_reach_images of convolution.h, with weights of snn_run_pack. */
void snn_run_images(const snn_frame *a, const real *in, const real *packed, real *out, real *room, int64_t first, int64_t last, int64_t add,
                    int64_t vectors, int64_t part)
{
    const int64_t width = vectors*WIDTH, step = rounded(a->targets, width), plain = a->height*a->width, source = plain*a->sources;
    const int64_t after = a->rows*a->columns, line = a->kernel_x*width;
    real *const y = room, *const sent = y + after*step, *const value = sent + source + 16;
    int64_t *const by_channel = (int64_t *)(((uintptr_t)(value + source + 16) + 7) & ~(uintptr_t)7), *const begin = by_channel + a->sources + 1;
    int32_t *const pixel = (int32_t *)(begin + plain + 1), *const at = pixel + source + 16;
    const snn_reach shape = {.targets = a->targets, .after = after};
    for (int64_t image = first; image < last; image++)
        for (int64_t g = 0; g < a->groups; g++) {
            memset(y, 0, (size_t)(after*step)*sizeof(real));
            for (int64_t c = 0; c < a->sources; c += part) {
                const int64_t channels = a->sources - c < part ? a->sources - c : part;
                by_pixel(in + (image*a->groups + g)*source + c*plain, channels, plain, by_channel, pixel, sent, begin, at, value);
                for (int64_t d = 0; d < step; d += width) {
                    const real *w = packed + ((g*step + d)*a->sources + c*width)*a->kernel_y*a->kernel_x;
                    for (int64_t ky = 0; ky < a->kernel_y; ky++, w += line*channels)
                        for (int64_t r = 0; r < a->rows; r++) {
                            const int64_t h = r*a->stride_y - a->top + ky*a->apart_y;
                            if (h < 0 || h >= a->height) continue;
                            real *const to = y + r*a->columns*step + d;
                            if (vectors == 4) run_4(a, begin, at, value, channels, h*a->width, w, to, step);
                            else run_2(a, begin, at, value, channels, h*a->width, w, to, step);
                        }
                }
            }
            leave(&shape, y, step, out + (image*a->groups + g)*a->targets*after, (int)add);
        }
}

/* --- the gradient of weights, for strides of 1 ------------------------------------------------------------------------------ */

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
#define MEETS(N) MEET(N, 1) MEET(N, 2) MEET(N, 3) MEET(N, 5)
MEETS(2)
MEETS(4)

typedef void meeting(const int32_t *, const real *, int64_t, const real *, int64_t, real *);
static meeting *const meet_2[] = {0, meet_2_1, meet_2_2, meet_2_3, 0, meet_2_5}; /* by columns */
static meeting *const meet_4[] = {0, meet_4_1, meet_4_2, meet_4_3, 0, meet_4_5};

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
    meeting *const *const meet = vectors == 4 ? meet_4 : meet_2;
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
