/* What goes back to the senders of a convolution, through tiles of minimal filtering (filtering.h). */

/* p^j at a point, where the last one is infinity: the last coefficient alone. */
static double power_at(int p, int64_t j, int64_t last)
{
    double made = 1;
    if (p == POINTS - 1) return j == last;
    for (int64_t i = 0; i < j; i++) made *= point[p];
    return made;
}

int64_t snn_tiles_packed(const snn_tiles *a) { return a->groups*PAIRS*a->sources*rounded(a->targets, COLUMNS); }

/* Weights (group, source, target, row, column) times `scale`, turned round and evaluated: [group][block of targets][pair of points][source][COLUMNS];
 * those of sources first .. last - 1 of each group. */
void snn_tiles_pack(const snn_tiles *a, const real *weight, real scale, real *packed, int64_t first, int64_t last)
{
    const int64_t step = rounded(a->targets, COLUMNS), ky = a->kernel_y, kx = a->kernel_x;
    double down[POINTS][POINTS], across[POINTS][POINTS];
    for (int p = 0; p < POINTS; p++)
        for (int64_t j = 0; j < POINTS; j++) { /* the kernel from its end: place j of it is row ky - 1 - j of the weights */
            down[p][j] = j < ky ? factor[p]*power_at(p, ky - 1 - j, ky - 1) : 0;
            across[p][j] = j < kx ? factor[p]*power_at(p, kx - 1 - j, kx - 1) : 0;
        }
    for (int64_t g = 0; g < a->groups; g++)
        for (int64_t s = first; s < last; s++)
            for (int64_t d = 0; d < step; d += COLUMNS) {
                real taken[POINTS*POINTS][COLUMNS], half[POINTS][COLUMNS];
                for (int64_t t = 0; t < ky*kx; t++)
                    for (int64_t w = 0; w < COLUMNS; w++)
                        taken[t][w] = d + w < a->targets ? scale*weight[((g*a->sources + s)*a->targets + d + w)*ky*kx + t] : 0;
                real *const block = packed + (g*step + d)*PAIRS*a->sources + s*COLUMNS;
                for (int p = 0; p < POINTS; p++) {
                    memset(half, 0, sizeof half);
                    for (int64_t y = 0; y < ky; y++)
                        for (int64_t x = 0; x < kx; x++)
                            for (int64_t w = 0; w < COLUMNS; w++) half[x][w] += (real)down[p][y]*taken[y*kx + x][w];
                    for (int q = 0; q < POINTS; q++) {
                        real *const to = block + (p*POINTS + q)*a->sources*COLUMNS;
                        for (int64_t w = 0; w < COLUMNS; w++) to[w] = 0;
                        for (int64_t x = 0; x < kx; x++)
                            for (int64_t w = 0; w < COLUMNS; w++) to[w] += (real)across[q][x]*half[x][w];
                    }
                }
            }
}

/* R tiles times COLUMNS targets. */
#define MULTIPLY(R)                                                                                                                      \
    static void multiply_##R(const real *restrict x, int64_t x_step, int64_t count, const real *restrict w, real *restrict y,            \
                             int64_t y_step)                                                                                             \
    {                                                                                                                                    \
        vec s[R], t[R];                                                                                                                  \
        _Pragma("GCC unroll 8") for (int i = 0; i < R; i++) s[i] = t[i] = (vec){0};                                                      \
        for (int64_t k = 0; k < count; k++, w += COLUMNS) {                                                                              \
            const vec v0 = *(const vec_any *)w, v1 = *(const vec_any *)(w + WIDTH);                                                      \
            _Pragma("GCC unroll 8") for (int i = 0; i < R; i++) {                                                                        \
                const real u = x[i*x_step + k];                                                                                          \
                s[i] += u*v0;                                                                                                            \
                t[i] += u*v1;                                                                                                            \
            }                                                                                                                            \
        }                                                                                                                                \
        _Pragma("GCC unroll 8") for (int i = 0; i < R; i++) {                                                                            \
            *(vec_any *)(y + i*y_step) = s[i];                                                                                           \
            *(vec_any *)(y + i*y_step + WIDTH) = t[i];                                                                                   \
        }                                                                                                                                \
    }
MULTIPLY(4) MULTIPLY(6) MULTIPLY(8)

/* Images that go through together, so that their tiles fill the products. */
int64_t snn_tiles_images(const snn_tiles *a)
{
    const int64_t each = tiles_of(a->height, a->kernel_y)*tiles_of(a->width, a->kernel_x);
    return each >= 16 ? 1 : (16 + each - 1)/each;
}

/* Pixels of an image of what arrives with its margins. */
static int64_t spread_rows(const snn_tiles *a) { return tiles_of(a->height, a->kernel_y)*results(a->kernel_y) + a->kernel_y - 1; }

static int64_t spread_columns(const snn_tiles *a) { return tiles_of(a->width, a->kernel_x)*results(a->kernel_x) + a->kernel_x - 1; }

int64_t snn_tiles_room(const snn_tiles *a)
{
    const int64_t images = snn_tiles_images(a), depth = rounded(a->sources, WIDTH), step = rounded(a->targets, COLUMNS);
    return images*(spread_rows(a)*spread_columns(a)*depth + a->height*a->width*step) + (PAIRS*TILES + 8)*(depth + step) + PAIRS*WIDTH;
}

/* From `in` (images, groups*sources, rows*columns) to `out` (images, groups*targets, height*width), images first .. last - 1. */
void snn_tiles_back(const snn_tiles *a, const real *in, const real *packed, real *out, real *room, int64_t first, int64_t last, int64_t add)
{
    const int64_t depth = rounded(a->sources, WIDTH), step = rounded(a->targets, COLUMNS), most = snn_tiles_images(a);
    const int64_t line = spread_columns(a)*depth, spread = spread_rows(a)*line, before = a->rows*a->columns, after = a->height*a->width;
    const int64_t down = tiles_of(a->height, a->kernel_y), across = tiles_of(a->width, a->kernel_x);
    const int64_t made_y = results(a->kernel_y), made_x = results(a->kernel_x);
    const int64_t top = a->kernel_y - 1 - a->top, left = a->kernel_x - 1 - a->left; /* margins of what arrives, at least 0 */
    const snn_reach shape = {.targets = a->targets, .after = after};
    real *const x = room, *const y = x + most*spread, *const seen = y + most*after*step, *const product = seen + (PAIRS*TILES + 8)*depth;
    real *const half = product + (PAIRS*TILES + 8)*step;
    memset(x, 0, (size_t)(most*spread)*sizeof(real)); /* margins stay zero */
    for (int64_t image = first; image < last; image += most) {
        const int64_t images = last - image < most ? last - image : most, tiles = images*down*across;
        const int64_t parts = (tiles + TILES - 1)/TILES;
        for (int64_t g = 0; g < a->groups; g++) {
            for (int64_t i = 0; i < images; i++)
                for (int64_t r = 0; r < a->rows; r++)
                    turn(a->sources, a->columns, in + ((image + i)*a->groups + g)*a->sources*before + r*a->columns, before,
                         x + i*spread + (r + top)*line + left*depth, depth);
            for (int64_t part = 0; part < parts; part++) {
                const int64_t begin = tiles*part/parts, count = tiles*(part + 1)/parts - begin;
                for (int64_t t = 0; t < count; t++) {
                    const int64_t i = (begin + t)/(down*across), at = (begin + t)%(down*across);
                    const real *const tile = x + i*spread + at/across*made_y*line + at%across*made_x*depth;
                    for (int64_t c = 0; c < depth; c += WIDTH) {
                        for (int k = 0; k < POINTS; k++) evaluate(tile + k*depth + c, line, half + k*WIDTH, POINTS*WIDTH);
                        for (int p = 0; p < POINTS; p++)
                            evaluate(half + p*POINTS*WIDTH, WIDTH, seen + (p*POINTS*count + t)*depth + c, count*depth);
                    }
                }
                for (int64_t d = 0; d < step; d += COLUMNS) {
                    const real *w = packed + (g*step + d)*PAIRS*a->sources;
                    const int64_t blocks = (count + 7)/8, each = (count + blocks - 1)/blocks, rows = each <= 4 ? 4 : each <= 6 ? 6 : 8;
                    for (int pair = 0; pair < PAIRS; pair++, w += a->sources*COLUMNS)
                        for (int64_t b = 0; b < blocks; b++) { /* the last block may repeat tiles, or make those of the next pair, which follows */
                            const int64_t end = count - rows, from = b*rows < end ? b*rows : end > 0 ? end : 0;
                            const real *const left_side = seen + (pair*count + from)*depth;
                            real *const to = product + (pair*count + from)*step + d;
                            if (rows == 8) multiply_8(left_side, depth, a->sources, w, to, step);
                            else if (rows == 6) multiply_6(left_side, depth, a->sources, w, to, step);
                            else multiply_4(left_side, depth, a->sources, w, to, step);
                        }
                }
                for (int64_t t = 0; t < count; t++) {
                    const int64_t i = (begin + t)/(down*across), at = (begin + t)%(down*across);
                    const int64_t r = at/across*made_y, c = at%across*made_x;
                    const int64_t rows = a->height - r < made_y ? a->height - r : made_y, columns = a->width - c < made_x ? a->width - c : made_x;
                    real *const tile = y + i*after*step + (r*a->width + c)*step;
                    for (int64_t d = 0; d < step; d += WIDTH) {
                        real whole[POINTS*WIDTH] __attribute__((aligned(VECTOR)));
                        for (int q = 0; q < POINTS; q++)
                            interpolate(product + (q*count + t)*step + d, POINTS*count*step, half + q*WIDTH, POINTS*WIDTH, made_y);
                        for (int64_t k = 0; k < rows; k++) {
                            interpolate(half + k*POINTS*WIDTH, WIDTH, whole, WIDTH, made_x);
                            for (int64_t n = 0; n < columns; n++)
                                *(vec_any *)(tile + (k*a->width + n)*step + d) = *(const vec_any *)(whole + n*WIDTH);
                        }
                    }
                }
            }
            for (int64_t i = 0; i < images; i++)
                leave(&shape, y + i*after*step, step, out + ((image + i)*a->groups + g)*a->targets*after, (int)add);
        }
    }
}
