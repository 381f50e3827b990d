# The command line and the Space, on a CPU.
#
#   docker build -t ganon-hf .
#   docker run --rm --network none -i ganon-hf anonymize - -o - < photo.jpg > anonymous.jpg
#   docker run --rm --network none -v "$PWD:/photos" --user "$(id -u):$(id -g)" ganon-hf anonymize /photos/in -o /photos/out
#   docker run --rm -p 7860:7860 --entrypoint python ganon-hf spaces/app.py
FROM python:3.11-slim
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 GRADIO_SERVER_NAME=0.0.0.0 HOME=/tmp
WORKDIR /app
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --extra-index-url https://download.pytorch.org/whl/cpu -c constraints.txt ".[demo,heif]" && rm -rf build src
COPY spaces spaces
USER nobody
ENTRYPOINT ["ganon-hf"]
