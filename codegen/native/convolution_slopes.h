/* The gradient of a convolution's weights, through tiles of minimal filtering (filtering.h). */

#define SUMMED 64 /* images whose gradients are summed at the points */

/* `count` adjoints along an axis as the points see a polynomial of them; what the points weigh is left to the end. */
static void __attribute__((noinline)) evaluate_few(const real *restrict in, int64_t in_step, real *restrict out, int64_t out_step, int64_t count)
{
    vec even1 = {0}, odd1 = {0}, even2 = {0}, odd2 = {0}, even3 = {0}, odd3 = {0};
    real up = 1, low = 1;
    for (int64_t k = 0; k < count; k++, up *= 2, low *= (real)0.5) {
        const vec d = *(const vec_any *)(in + k*in_step);
        if (k%2 == 0) {
            even1 += d;
            even2 += up*d;
            even3 += low*d;
        } else {
            odd1 += d;
            odd2 += up*d;
            odd3 += low*d;
        }
    }
#define PUT(i) *(vec_any *)(out + (i)*out_step)
    PUT(0) = *(const vec_any *)in;
    PUT(1) = even1 + odd1;
    PUT(2) = even1 - odd1;
    PUT(3) = even2 + odd2;
    PUT(4) = even2 - odd2;
    PUT(5) = even3 + odd3;
    PUT(6) = even3 - odd3;
    PUT(7) = *(const vec_any *)(in + (count - 1)*in_step);
#undef PUT
}

/* Eight sources times COLUMNS targets, summed over tiles and added. */
static void grow(const real *restrict x, int64_t x_step, int64_t count, const real *restrict w, int64_t w_step, real *restrict y, int64_t y_step)
{
    vec s[8], t[8];
    _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) s[i] = t[i] = (vec){0};
    for (int64_t k = 0; k < count; k++, x += x_step, w += w_step) {
        const vec v0 = *(const vec_any *)w, v1 = *(const vec_any *)(w + WIDTH);
        _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) {
            const real u = x[i];
            s[i] += u*v0;
            t[i] += u*v1;
        }
    }
    _Pragma("GCC unroll 8") for (int i = 0; i < 8; i++) {
        *(vec_any *)(y + i*y_step) += s[i];
        *(vec_any *)(y + i*y_step + WIDTH) += t[i];
    }
}

/* Channels in whole vectors, and in eights. */
SNN_INLINE int64_t in_eights(int64_t count) { return rounded(count, WIDTH > 8 ? WIDTH : 8); }

static int64_t slope_images(const snn_tiles *a)
{
    const int64_t each = tiles_of(a->rows, a->kernel_y)*tiles_of(a->columns, a->kernel_x);
    return each >= 16 ? 1 : (16 + each - 1)/each;
}

/* Numbers of room that a call of snn_slopes_add for `count` channels of the images needs. */
int64_t snn_slopes_room(const snn_tiles *a, int64_t count)
{
    const int64_t down = tiles_of(a->rows, a->kernel_y), across = tiles_of(a->columns, a->kernel_x), images = slope_images(a);
    const int64_t made_y = results(a->kernel_y), made_x = results(a->kernel_x), depth = in_eights(count);
    const int64_t step = rounded(a->sources, COLUMNS), high = down*made_y, wide = across*made_x;
    return images*((high + a->kernel_y - 1)*(wide + a->kernel_x - 1)*depth + high*wide*step) + PAIRS*(TILES*(depth + step) + depth*step + WIDTH);
}

/* Sums at the points (pair, depth, step) to places of the kernel, `scale` times of which is added to `out` (source, target, row, column) for
 * targets from .. from + count - 1. */
static void finish(const snn_tiles *a, real *sum, int64_t depth, int64_t step, int64_t from, int64_t count, real scale, real *half, real *out)
{
    const int64_t ky = a->kernel_y, kx = a->kernel_x;
    for (int64_t c = 0; c < count; c++)
        for (int64_t w = 0; w < step; w += WIDTH) {
            real taps[PAIRS*WIDTH] __attribute__((aligned(VECTOR)));
            for (int p = 0; p < POINTS; p++)
                for (int q = 0; q < POINTS; q++)
                    *(vec_any *)(sum + ((p*POINTS + q)*depth + c)*step + w) *= (real)(factor[p]*factor[q]);
            for (int q = 0; q < POINTS; q++)
                interpolate(sum + (q*depth + c)*step + w, POINTS*depth*step, half + q*WIDTH, POINTS*WIDTH, ky);
            for (int64_t k = 0; k < ky; k++) interpolate(half + k*POINTS*WIDTH, WIDTH, taps + k*kx*WIDTH, WIDTH, kx);
            for (int64_t s = w; s < w + WIDTH && s < a->sources; s++)
                for (int64_t t = 0; t < ky*kx; t++) out[(s*a->targets + from + c)*ky*kx + t] += scale*taps[t*WIDTH + s - w];
        }
}

/* Adds to `out` (group, source, target, row, column) `scale` times the sum over images and pixels: `seen` are images (images, groups*targets,
 * height*width), `bars` what arrives (images, groups*sources, rows*columns); for targets from .. to - 1 of each group. */
void snn_slopes_add(const snn_tiles *a, const real *seen, const real *bars, real *out, real *room, int64_t images, int64_t from, int64_t to,
                     real scale)
{
    const int64_t count = to - from, depth = in_eights(count), step = rounded(a->sources, COLUMNS), ky = a->kernel_y, kx = a->kernel_x;
    const int64_t down = tiles_of(a->rows, ky), across = tiles_of(a->columns, kx), made_y = results(ky), made_x = results(kx);
    const int64_t plain = a->height*a->width, before = a->rows*a->columns, most = slope_images(a);
    const int64_t line = (across*made_x + kx - 1)*depth, spread = (down*made_y + ky - 1)*line;   /* of an image with its margins */
    const int64_t row = across*made_x*step, sheet = down*made_y*row;                             /* of what arrives, likewise */
    real *const x = room, *const y = x + most*spread, *const v = y + most*sheet, *const d = v + PAIRS*TILES*depth;
    real *const sum = d + PAIRS*TILES*step, *const half = sum + PAIRS*depth*step;
    const int64_t high = a->height < down*made_y + ky - 1 - a->top ? a->height : down*made_y + ky - 1 - a->top;
    const int64_t wide = a->width < across*made_x + kx - 1 - a->left ? a->width : across*made_x + kx - 1 - a->left;
    memset(x, 0, (size_t)(most*(spread + sheet))*sizeof(real)); /* margins stay zero */
    for (int64_t g = 0; g < a->groups; g++) {
        real *const slope = out + g*a->sources*a->targets*ky*kx;
        memset(sum, 0, (size_t)(PAIRS*depth*step)*sizeof(real));
        for (int64_t image = 0, summed = 0; image < images; image += most) {
            const int64_t held = images - image < most ? images - image : most, tiles = held*down*across, parts = (tiles + TILES - 1)/TILES;
            for (int64_t i = 0; i < held; i++) {
                const real *const one = seen + (((image + i)*a->groups + g)*a->targets + from)*plain;
                const real *const bar = bars + ((image + i)*a->groups + g)*a->sources*before;
                for (int64_t r = 0; r < high; r++)
                    turn(count, wide, one + r*a->width, plain, x + i*spread + (r + a->top)*line + a->left*depth, depth);
                for (int64_t r = 0; r < a->rows; r++) turn(a->sources, a->columns, bar + r*a->columns, before, y + i*sheet + r*row, step);
            }
            for (int64_t part = 0; part < parts; part++) {
                const int64_t begin = tiles*part/parts, n = tiles*(part + 1)/parts - begin;
                for (int64_t t = 0; t < n; t++) {
                    const int64_t i = (begin + t)/(down*across), r = (begin + t)%(down*across)/across*made_y;
                    const int64_t c = (begin + t)%across*made_x;
                    const real *const tile = x + i*spread + r*line + c*depth, *const bar = y + i*sheet + r*row + c*step;
                    for (int64_t w = 0; w < depth; w += WIDTH) {
                        for (int k = 0; k < POINTS; k++) evaluate(tile + k*depth + w, line, half + k*WIDTH, POINTS*WIDTH);
                        for (int p = 0; p < POINTS; p++)
                            evaluate(half + p*POINTS*WIDTH, WIDTH, v + (p*POINTS*n + t)*depth + w, n*depth);
                    }
                    for (int64_t w = 0; w < step; w += WIDTH) {
                        for (int64_t k = 0; k < made_x; k++) evaluate_few(bar + k*step + w, row, half + k*WIDTH, POINTS*WIDTH, made_y);
                        for (int p = 0; p < POINTS; p++)
                            evaluate_few(half + p*POINTS*WIDTH, WIDTH, d + (p*POINTS*n + t)*step + w, n*step, made_x);
                    }
                }
                for (int pair = 0; pair < PAIRS; pair++)
                    for (int64_t c = 0; c < count; c += 8)
                        for (int64_t w = 0; w < step; w += COLUMNS)
                            grow(v + pair*n*depth + c, depth, n, d + pair*n*step + w, step, sum + (pair*depth + c)*step + w, step);
            }
            summed += held;
            if (summed >= SUMMED || image + most >= images) { /* sums at the points are great, and cancel: none grows for long */
                finish(a, sum, depth, step, from, count, scale, half, slope);
                memset(sum, 0, (size_t)(PAIRS*depth*step)*sizeof(real));
                summed = 0;
            }
        }
    }
}
