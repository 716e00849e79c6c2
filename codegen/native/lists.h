/* Listed synapses and whole batches. Rows are taken a block of lanes at once and turned, so that what one neuron sends in all of them lies
 * together: a synapse is then one number times a few registers. Every sum has the order of its list, and no bit depends on threads. */

#define LANES (4*WIDTH)
#define TILE 16

/* room[i*LANES + r] = from[r*count + i] for the rows of a block; rows that are not there are 0. */
static void list_turn(const real *from, int64_t count, int64_t rows, real *room)
{
    if (rows < LANES) memset(room, 0, (size_t)(count*LANES)*sizeof(real));
    for (int64_t i = 0; i < count; i += TILE) {
        const int64_t part = count - i < TILE ? count - i : TILE;
        for (int64_t r = 0; r < rows; r++) {
            const real *const x = from + r*count + i;
            real *const to = room + i*LANES + r;
            for (int64_t j = 0; j < part; j++) to[j*LANES] = x[j];
        }
    }
}

/* to[row, t] (+)= the sum of value[k] from[row, index[k]] over the list of t, for blocks first .. last - 1 of rows. */
void snn_list_rows(const int64_t *begin, const int32_t *index, const real *value, const real *from, int64_t sources, real *to,
                   int64_t targets, int64_t rows, int64_t first, int64_t last, real *room, int64_t add)
{
    real *const turned = (real *)(((uintptr_t)room + VECTOR - 1)/VECTOR*VECTOR);
    for (int64_t b = first; b < last; b++) {
        const int64_t start = b*LANES, count = rows - start < LANES ? rows - start : LANES;
        list_turn(from + start*sources, sources, count, turned);
        for (int64_t t = 0; t < targets; t += TILE) {
            const int64_t part = targets - t < TILE ? targets - t : TILE;
            real tile[TILE*LANES] __attribute__((aligned(VECTOR)));
            for (int64_t j = 0; j < part; j++) {
                vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
                for (int64_t k = begin[t + j]; k < begin[t + j + 1]; k++) {
                    const vec *const x = (const vec *)(turned + index[k]*LANES);
                    const real w = value[k];
                    s0 += w*x[0];
                    s1 += w*x[1];
                    s2 += w*x[2];
                    s3 += w*x[3];
                }
                vec *const place = (vec *)(tile + j*LANES);
                place[0] = s0;
                place[1] = s1;
                place[2] = s2;
                place[3] = s3;
            }
            for (int64_t r = 0; r < count; r++) {
                real *const place = to + (start + r)*targets + t;
                if (add)
                    for (int64_t j = 0; j < part; j++) place[j] += tile[j*LANES + r];
                else
                    for (int64_t j = 0; j < part; j++) place[j] = tile[j*LANES + r];
            }
        }
    }
}

/* Numbers of working memory that snn_list_rows wants. */
int64_t snn_list_room(int64_t sources) { return sources*LANES + VECTOR; }

/* Rows of a block. */
int64_t snn_list_lanes(void) { return LANES; }

/* to[i*width + r] = from[r*count + i] for columns first .. last - 1 and all rows; width is a multiple of LANES, the rest of it 0. */
void snn_list_columns(const real *from, int64_t count, int64_t rows, int64_t width, real *to, int64_t first, int64_t last)
{
    turn_over(rows, last - first, from + first, count, to + first*width, width, 0);
    for (int64_t i = first; i < last && rows < width; i++) memset(to + i*width + rows, 0, (size_t)(width - rows)*sizeof(real));
}

/* out[g] += factor times the sum, over the synapses of weight g, of what was sent times what arrived, in all rows. */
void snn_list_slopes(const int64_t *begin, const int32_t *pre, const int32_t *post, const real *sent, const real *arrived, int64_t width,
                     real *out, int64_t first, int64_t last, real factor)
{
    for (int64_t g = first; g < last; g += WIDTH) { /* lanes of as many weights are summed together */
        const int64_t part = last - g < WIDTH ? last - g : WIDTH;
        vec lanes[WIDTH], turned[WIDTH];
        if (part < WIDTH) memset(lanes, 0, sizeof lanes);
        for (int64_t j = 0; j < part; j++) {
            vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
            for (int64_t k = begin[g + j]; k < begin[g + j + 1]; k++) {
                const vec_any *const x = (const vec_any *)(sent + pre[k]*width), *const y = (const vec_any *)(arrived + post[k]*width);
                for (int64_t i = 0; i < width/WIDTH; i += 4) {
                    s0 += x[i]*y[i];
                    s1 += x[i + 1]*y[i + 1];
                    s2 += x[i + 2]*y[i + 2];
                    s3 += x[i + 3]*y[i + 3];
                }
            }
            lanes[j] = (s0 + s1) + (s2 + s3);
        }
        turn_over(WIDTH, WIDTH, (const real *)lanes, WIDTH, (real *)turned, WIDTH, 0);
        for (int64_t half = WIDTH/2; half > 0; half /= 2)
            for (int64_t j = 0; j < half; j++) turned[j] += turned[j + half];
        real *const to = out + g;
        if (part == WIDTH) *(vec_any *)to += factor*turned[0];
        else for (int64_t j = 0; j < part; j++) to[j] += factor*turned[0][j];
    }
}
