"""The GPUs of this host, as NVIDIA's management library reads them; nothing where there is none."""

from typing import TypedDict

import pynvml


class Gpu(TypedDict):
    """One GPU at one moment. Utilisation is 0 to 1, memory in bytes, temperature in °C."""

    index: int
    model: str
    driver: str
    utilisation: float
    memory_used_bytes: int
    memory_total_bytes: int
    temperature_c: int


def read_gpus() -> list[Gpu]:
    """All GPUs that the driver shows. Takes milliseconds and opens no CUDA context."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, no GPU
        return []
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        return [_read(index, driver) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:  # it went away meanwhile
        return []
    finally:
        pynvml.nvmlShutdown()


def _read(index: int, driver: str) -> Gpu:
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(device)
    return Gpu(
        index=index,
        model=str(pynvml.nvmlDeviceGetName(device)),
        driver=driver,
        utilisation=pynvml.nvmlDeviceGetUtilizationRates(device).gpu / 100,
        memory_used_bytes=int(memory.used),
        memory_total_bytes=int(memory.total),
        temperature_c=int(pynvml.nvmlDeviceGetTemperature(device, pynvml.NVML_TEMPERATURE_GPU)),
    )
