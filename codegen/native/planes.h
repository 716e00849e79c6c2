/* How pools see images. */

typedef struct snn_pool {
    int64_t height, width, rows, columns;   /* of a plane before and after */
    int64_t kernel_y, kernel_x, stride_y, stride_x, top, left, apart_y, apart_x;
} snn_pool;
