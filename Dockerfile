# docker build -t rim . && docker run --rm -p 127.0.0.1:8501:8501 -v rim-workspace:/workspace rim

FROM python:3.11-slim AS build
# Only for dependencies without a wheel for this platform; the compiler stays in this stage.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc g++ \
    && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/rim
WORKDIR /src
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY rim_core ./rim_core
COPY app ./app
RUN /opt/rim/bin/pip install -c constraints.txt setuptools wheel \
    && /opt/rim/bin/pip install -c constraints.txt --no-build-isolation .

FROM python:3.11-slim
# OpenMP for torch, implicit and scikit-learn.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 rim \
    && install -d -o rim -g rim /workspace
COPY --from=build /opt/rim /opt/rim
COPY app /srv/rim/app
COPY .streamlit /srv/rim/.streamlit
ENV PATH=/opt/rim/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RIM_WORKSPACE=/workspace \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0
USER rim
WORKDIR /srv/rim
VOLUME /workspace
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://localhost:8501/_stcore/health', timeout=4)"]
CMD ["python", "-m", "streamlit", "run", "app/main.py"]
