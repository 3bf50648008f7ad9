"""The part of an exported file that is the same in all of them: calling the kernels. Plain text, never imported."""

RUNTIME = '''
class Step:
    """The exported step: call it with the inputs, by position or by name."""

    certificate = CERTIFICATE

    def __init__(self):
        self.params = {name: np.array(value, order="C") for name, value in PARAMS.items()}
        self._frames = {}
        self._lock = threading.Lock()

    def __call__(self, *args, **named):
        arrays = self._inputs(args, named)
        sizes = sizes_of(arrays)
        with self._lock:
            if sizes not in self._frames:
                self._frames[sizes] = self._frame(sizes)
            m, scalars, owned, (shapes, results, _, buffers) = self._frames[sizes]
            for (name, _, _), array, shape in zip(INPUTS, arrays, shapes):
                if array.shape != shape:
                    raise ValueError(f"input {name!r} has the wrong size: got {array.shape}, expected {shape}")
            outputs = []
            for b in buffers:
                if b.kind == "input" and shapes[b.position]:
                    m[FIRST_BUFFER + b.number] = reference(arrays[b.position])
                elif b.kind == "input":
                    scalars[b.number][0] = arrays[b.position]
                elif b.kind == "output" and results[b.position]:
                    outputs.append(np.empty(results[b.position], b.dtype))
                    m[FIRST_BUFFER + b.number] = reference(outputs[-1])
                elif b.kind == "output":
                    outputs.append(scalars[b.number])
            self._run(m)
            return nested([value if shape else value[0] for value, shape in zip(outputs, results)])

    def _inputs(self, args, named):
        """One C-contiguous array per input, of its dtype and rank."""
        names = [name for name, _, _ in INPUTS]
        if len(args) > len(names):
            raise TypeError(f"too many inputs: got {len(args)}, expected {len(names)}: {', '.join(names)}")
        values = dict(zip(names, args))
        for name, value in named.items():
            if name not in names or name in values:
                raise TypeError(f"input {name!r} is unknown or given twice; expected {', '.join(names)}")
            values[name] = value
        missing = [name for name in names if name not in values]
        if missing:
            raise TypeError(f"missing input: {', '.join(missing)}")
        return [as_input(values[name], name, np.dtype(dtype), rank) for name, dtype, rank in INPUTS]

    def _frame(self, sizes):
        """The table for these sizes, the memory it points to, and the layout."""
        inputs, outputs, dims, buffers = found = layout(*sizes)
        m = [0] * max(SIZE, 1)
        m[FIRST_DIM : FIRST_DIM + len(dims)] = dims
        m[FIRST_ROW : FIRST_ROW + len(ROWS)] = ROWS
        offsets, total = place(buffers, {})
        arena = aligned(total)
        scalars, owned = {}, [arena]
        for b in buffers:
            memory = None
            if b.kind == "temp" and b.first >= 0:
                memory = arena[offsets[b.number] : offsets[b.number] + b.nbytes({})].view(b.dtype)
            elif b.kind == "param":
                memory = list(self.params.values())[b.position]
            elif b.kind == "constant":
                memory = CONSTANTS[b.position]
            elif b.kind in ("input", "output") and not (inputs if b.kind == "input" else outputs)[b.position]:
                memory = scalars[b.number] = np.zeros(1, b.dtype)
            if memory is not None:
                owned.append(memory)
                m[FIRST_BUFFER + b.number] = reference(memory)
        return (m if PLAIN else np.array(m, np.int64)), scalars, owned, found

    def _run(self, m):
        """The kernels in order; those from COMMIT on only if no error was flagged."""
        m[0] = 0
        for k, (name, row, chunks) in enumerate(CALLS):
            if k == COMMIT and m[0]:
                break
            run, table = (globals()[name], m) if PLAIN else (globals()[name].ctypes, m.ctypes.data)
            count = max(int(m[chunks]), 1) if chunks else 1
            with np.errstate(all="ignore"):
                for c in range(count):
                    run(table, row, c, int(c + 1 == count), 0)
        if m[0]:
            error = ERRORS[int(m[0])]
            raise type(error)(*error.args)


PLAIN = bool(numba.config.DISABLE_JIT)


def reference(array):
    """What the table holds for an array: its address, or itself where kernels run as plain Python."""
    return array if PLAIN else array.ctypes.data


def aligned(nbytes):
    """Bytes that start at a multiple of ALIGNMENT."""
    memory = np.empty(max(nbytes, 1) + ALIGNMENT, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT
    return memory[offset : offset + max(nbytes, 1)]


def as_input(value, name, dtype, rank):
    """`value` as an array for an input; Python numbers are weak, arrays must have the dtype."""
    if np.ma.is_masked(value):
        raise ValueError(f"input {name!r} has masked elements: fill them, as with value.filled(0)")
    array = np.asarray(value)
    weak = not hasattr(value, "dtype")
    if weak and (array.size == 0 or np.can_cast(array.dtype, dtype, "same_kind")):
        array = array.astype(dtype)
    if array.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"input {name!r} has the wrong dtype: got {array.dtype}, expected {dtype}")
    if array.ndim != rank:
        raise ValueError(f"input {name!r} has the wrong rank: got {array.ndim}, expected {rank}")
    return np.array(array, dtype, order="C", copy=None)


step = Step()
'''
