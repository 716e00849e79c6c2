/* Convolutions of images that are mostly zero, for kernels whose columns lie side by side (dilation 1).
 *
 * What is active is listed pixel by pixel. A row of the kernel then meets one run of the list: the active channels of neighbouring pixels,
 * whose weights lie as their numbers say. A run is summed for one output pixel, all its channels in registers; a row of the kernel
 * and so many source channels (`part`) go through the whole image, so that their weights stay in the first-level cache. Every sum has one
 * order, whatever the threads. */

#define ROW 49152   /* bytes of weights that are read from the first-level cache often enough */

int64_t snn_run_vectors(int64_t targets) { return vectors_of_run(targets); }

int64_t snn_run_columns(void) { return COLUMNS; }

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
#if defined(FEW)
RUN(2)
#endif
#if defined(MANY)
RUN(4)
#endif

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
                            OF_VECTORS(run)(a, begin, at, value, channels, h*a->width, w, to, step);
                        }
                }
            }
            leave(&shape, y, step, out + (image*a->groups + g)*a->targets*after, (int)add);
        }
}
